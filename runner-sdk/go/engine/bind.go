package engine

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/config"
	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
)

const (
	lookWait   = 2 * time.Second
	lookPause  = 100 * time.Millisecond
	watchPause = 10 * time.Second
	goneFor    = 3 // looks in a row that find no consumer, before a running node believes it

	noConsumer = 10014
	noStream   = 10059
)

// bind waits until the broker has told of every source that it is there, and whether any has replicas. A source that is not
// there is an error.
func bind(ctx context.Context, conn *broker.Conn, log *logline.Log, clock *clock, sources []config.Source) (replicated bool, err error) {
	for _, source := range sources {
		for try := 1; ; try++ {
			seen, err := look(ctx, conn, clock, source)
			if err == nil && !seen.there {
				return false, missing(source)
			}
			replicated = replicated || seen.replicated
			if err == nil {
				break
			}
			if try%50 == 0 {
				log.Write(logline.Record{Level: logline.Warn, Message: "the broker does not answer for consumer " + source.Consumer + ", asking again", Err: err.Error()})
			}
			select {
			case <-time.After(lookPause):
			case <-ctx.Done():
				return false, context.Cause(ctx)
			}
		}
	}
	return replicated, nil
}

func missing(source config.Source) error {
	return fmt.Errorf("the broker has no consumer %q of stream %q: the version has to be prepared before its nodes start", source.Consumer, source.Stream)
}

// sight is what the broker tells of a consumer.
type sight struct {
	there, replicated bool
	pending           int64  // messages that it has not delivered yet
	next              uint64 // sequence that the first of those has at least
	filter            string // subjects of its messages
}

// look asks the broker for a consumer, and by the way for its time. An error means that it did not say.
func look(ctx context.Context, conn *broker.Conn, clock *clock, source config.Source) (sight, error) {
	question := &nats.Msg{Subject: "$JS.API.CONSUMER.INFO." + source.Stream + "." + source.Consumer}
	msg, err := conn.Ask(question).Wait(ctx, lookWait)
	if err != nil {
		return sight{}, err // bind says what it was about
	}
	now := time.Now()
	var answer struct {
		Time      time.Time `json:"ts"`
		Pending   int64     `json:"num_pending"`
		Delivered struct {
			Sequence uint64 `json:"stream_seq"`
		} `json:"delivered"`
		Config struct {
			Filter string `json:"filter_subject"`
		} `json:"config"`
		Cluster struct {
			Replicas []json.RawMessage `json:"replicas"`
		} `json:"cluster"`
		Error *struct {
			Code        int    `json:"err_code"`
			Description string `json:"description"`
		} `json:"error"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return sight{}, fmt.Errorf("reading the broker's answer: %w", err)
	}
	clock.set(answer.Time, now)
	switch {
	case answer.Error == nil:
		return sight{
			there: true, replicated: len(answer.Cluster.Replicas) > 0,
			pending: answer.Pending, next: answer.Delivered.Sequence + 1, filter: cmp.Or(answer.Config.Filter, ">"),
		}, nil
	case answer.Error.Code == noConsumer, answer.Error.Code == noStream:
		return sight{}, nil
	default:
		return sight{}, fmt.Errorf("the broker refuses: %s (%d)", answer.Error.Description, answer.Error.Code)
	}
}

// watch ends the node when a source is removed while it runs: without it the node would wait for ever in silence.
func (e *engine) watch(ctx context.Context) {
	sources := e.node.Bound()
	misses := make([]int, len(sources))
	for {
		select {
		case <-time.After(watchPause):
		case <-ctx.Done():
			return
		}
		for i, source := range sources {
			seen, err := look(ctx, e.conn, e.clock, source)
			switch {
			case err != nil:
			case seen.there:
				misses[i] = 0
			default:
				if misses[i]++; misses[i] == goneFor {
					e.Lost(missing(source))
					return
				}
			}
		}
	}
}
