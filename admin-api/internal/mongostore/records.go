package mongostore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

// detailsDocument is how details are stored.
type detailsDocument struct {
	ID      string `bson:"_id"`
	Details string `bson:"details"` // JSON
}

func recordID(runtime string, key engine.Key) string {
	return runtime + "/" + key.Version + "/" + key.Upload
}

// PutDetails is part of engine.Records.
func (s *Store) PutDetails(ctx context.Context, details engine.Details) error {
	id := recordID(details.Runtime, details.Key)
	text, err := json.Marshal(details)
	if err != nil {
		return fmt.Errorf("cannot write the details of %s: %w", id, err)
	}
	return failure(s.insertOnce(ctx, s.details, detailsDocument{ID: id, Details: string(text)}), "cannot store details")
}

// Details is part of engine.Records.
func (s *Store) Details(ctx context.Context, runtime string, keys []engine.Key) ([]engine.Details, error) {
	found := make([]engine.Details, 0, len(keys))
	for some := range slices.Chunk(keys, atOnce) {
		documents, err := find[detailsDocument](ctx, s, s.details, detailsQuery(runtime, some), options.Find())
		if err != nil {
			return nil, failure(err, "cannot read details")
		}
		for _, d := range documents {
			var details engine.Details
			if err := json.Unmarshal([]byte(d.Details), &details); err != nil {
				return nil, fmt.Errorf("cannot read the details of %s: %w", d.ID, err)
			}
			found = append(found, details)
		}
	}
	return found, nil
}

func detailsQuery(runtime string, keys []engine.Key) bson.D {
	ids := make(bson.A, len(keys))
	for i, key := range keys {
		ids[i] = recordID(runtime, key)
	}
	return bson.D{{Key: "_id", Value: bson.D{{Key: "$in", Value: ids}}}}
}

// configDocument is how a configuration is stored: as fields, because JSON would make sealed values longer by a third, and a
// document must not have more than 16 MiB.
type configDocument struct {
	ID       string            `bson:"_id"`
	Revision int64             `bson:"revision"`
	Settings []settingDocument `bson:"settings"`
}

type settingDocument struct {
	Key           string            `bson:"key"`
	Kind          engine.ConfigKind `bson:"kind"`
	Sealed        []byte            `bson:"sealed"`
	UpdateTime    time.Time         `bson:"updateTime"`
	Updater       string            `bson:"updater"`
	InheritedFrom string            `bson:"inheritedFrom"`
}

// PutConfig is part of engine.Records.
func (s *Store) PutConfig(ctx context.Context, config engine.Config) error {
	document := configDocument{
		ID:       recordID(config.Runtime, config.Key) + "/" + config.ID,
		Revision: config.Revision,
		Settings: make([]settingDocument, len(config.Settings)),
	}
	for i, setting := range config.Settings {
		document.Settings[i] = settingDocument(setting)
	}
	return failure(s.insertOnce(ctx, s.configs, document), "cannot store a configuration")
}

// Config is part of engine.Records.
func (s *Store) Config(ctx context.Context, runtime string, key engine.Key, id string) (engine.Config, error) {
	ctx, cancel := s.limit(ctx)
	defer cancel()
	var d configDocument
	err := s.configs.FindOne(ctx, byID(recordID(runtime, key)+"/"+id)).Decode(&d)
	if none(err) {
		return engine.Config{}, fault.New(fault.NotFound, "version %s of runtime %s has no configuration %s", key.Version, runtime, id)
	}
	if err != nil {
		return engine.Config{}, failure(err, "cannot read a configuration")
	}
	config := engine.Config{Runtime: runtime, Key: key, ID: id, Revision: d.Revision, Settings: make([]engine.Setting, len(d.Settings))}
	for i, setting := range d.Settings {
		config.Settings[i] = engine.Setting(setting)
		config.Settings[i].UpdateTime = setting.UpdateTime.UTC()
	}
	return config, nil
}

// PruneConfigs is part of engine.Records.
func (s *Store) PruneConfigs(ctx context.Context, runtime string, key engine.Key, through int64, keep string) error {
	path, after := recordID(runtime, key), ""
	for {
		filter, o := configsQuery(path, after)
		found, err := find[configDocument](ctx, s, s.configs, filter, o)
		if err != nil {
			return failure(err, "cannot read which configurations there are")
		}
		var stale []id
		for _, d := range found {
			if d.Revision <= through && d.ID != path+"/"+keep {
				stale = append(stale, id{ID: d.ID})
			}
		}
		if err := s.remove(ctx, s.configs, stale); err != nil {
			return failure(err, "cannot remove configurations")
		}
		if len(found) < atOnce {
			return nil
		}
		after = found[len(found)-1].ID
	}
}

// configsQuery asks for ids and revisions only.
func configsQuery(path, after string) (bson.D, *options.FindOptionsBuilder) {
	return idRange(path+"/", after, path+"0"),
		options.Find().SetSort(ascending).SetLimit(atOnce).SetProjection(bson.D{{Key: "revision", Value: 1}})
}

// DeleteRecords is part of engine.Purger.
func (s *Store) DeleteRecords(ctx context.Context, runtime string, key engine.Key) error {
	path := recordID(runtime, key)
	if err := s.removeAll(ctx, s.configs, within(path)); err != nil {
		return failure(err, "cannot remove configurations")
	}
	return failure(s.remove(ctx, s.details, []id{{ID: path}}), "cannot remove details")
}

// Purge is part of engine.Purger.
func (s *Store) Purge(ctx context.Context, runtime string) error {
	if err := s.removeAll(ctx, s.configs, within(runtime)); err != nil {
		return failure(err, "cannot remove the configurations of a runtime")
	}
	if err := s.removeAll(ctx, s.details, within(runtime)); err != nil {
		return failure(err, "cannot remove the details of a runtime")
	}
	return failure(s.removeAll(ctx, s.activities, within(runtime)), "cannot remove the activities of a runtime")
}
