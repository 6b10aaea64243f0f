package mongostore

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
)

// activityDocument is how an activity is stored.
type activityDocument struct {
	ID       string           `bson:"_id"`
	Revision int64            `bson:"revision"`
	Time     time.Time        `bson:"time"`
	Actor    string           `bson:"actor"`
	Action   string           `bson:"action"`
	Version  string           `bson:"version"`
	Comment  string           `bson:"comment"`
	Details  []detailDocument `bson:"details"` // a list: names of fields may not hold everything that keys may
}

type detailDocument struct {
	Key   string `bson:"key"`
	Value string `bson:"value"`
}

// activityID has the order of the revisions.
func activityID(runtime string, revision int64) string {
	return fmt.Sprintf("%s/%019d", runtime, revision)
}

// PutActivity is part of engine.Journal.
func (s *Store) PutActivity(ctx context.Context, a engine.Activity) error {
	document := activityDocument{
		ID: activityID(a.Runtime, a.Revision), Revision: a.Revision, Time: a.Time, Actor: a.Actor, Action: string(a.Action),
		Version: a.Version, Comment: a.Comment, Details: []detailDocument{},
	}
	for _, key := range slices.Sorted(maps.Keys(a.Details)) {
		document.Details = append(document.Details, detailDocument{Key: key, Value: a.Details[key]})
	}
	return failure(s.insertOnce(ctx, s.activities, document), "cannot store an activity")
}

// Activities is part of engine.Journal.
func (s *Store) Activities(ctx context.Context, query engine.ActivityQuery) ([]engine.Activity, error) {
	if query.Limit <= 0 {
		return nil, nil
	}
	filter, o := activitiesQuery(query)
	documents, err := find[activityDocument](ctx, s, s.activities, filter, o)
	if err != nil {
		return nil, failure(err, "cannot read activities")
	}
	activities := make([]engine.Activity, len(documents))
	for i, d := range documents {
		activities[i] = engine.Activity{
			Runtime: query.Runtime, Revision: d.Revision, Time: d.Time.UTC(), Actor: d.Actor, Action: engine.Action(d.Action),
			Version: d.Version, Comment: d.Comment,
		}
		for _, detail := range d.Details {
			if activities[i].Details == nil {
				activities[i].Details = make(map[string]string, len(d.Details))
			}
			activities[i].Details[detail.Key] = detail.Value
		}
	}
	return activities, nil
}

func activitiesQuery(query engine.ActivityQuery) (bson.D, *options.FindOptionsBuilder) {
	end := query.Runtime + "0"
	if query.Before > 0 {
		end = activityID(query.Runtime, query.Before)
	}
	filter := idRange(query.Runtime+"/", "", end)
	if query.Version != "" {
		filter = append(filter, bson.E{Key: "version", Value: query.Version})
	}
	if query.Action != "" {
		filter = append(filter, bson.E{Key: "action", Value: string(query.Action)})
	}
	return filter, options.Find().SetSort(descending).SetLimit(int64(query.Limit))
}
