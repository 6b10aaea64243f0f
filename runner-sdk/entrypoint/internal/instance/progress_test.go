package instance_test

import (
	"encoding/json"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const questions = "kre.echo-v1._questions.say"

// chained says that requests go through etl and model to exit.
func chained(o *instance.Options) {
	o.Config.Workflows[0].Questions = questions
	for _, step := range [][2]string{{"etl", "entrypoint"}, {"model", "etl"}, {"exit", "model"}} {
		o.Config.Workflows[0].Path = append(o.Config.Workflows[0].Path,
			plan.Step{Node: step[0], Exitpoint: step[0] == "exit", From: []plan.Subscription{{Node: step[1]}}})
	}
}

// says answers questions as a process of a node does.
func (w *world) says(node string, waiting int64, state func(requestID string) wire.Known) {
	_, err := w.nats.connect(w.t).Subscribe(questions, func(msg *nats.Msg) {
		requestIDs, is, err := wire.ParseQuestion(wire.AskProgress, msg.Header, msg.Data)
		if err != nil || !is {
			w.t.Errorf("the question: %v %v", is, err)
			return
		}
		told := wire.Progress{Node: node, Waiting: waiting}
		for _, id := range requestIDs {
			if known := state(id); known.State != "" {
				told.Steps = append(told.Steps, known)
			}
		}
		body, err := json.Marshal(told)
		if err == nil {
			err = msg.Respond(body)
		}
		if err != nil {
			w.t.Errorf("answering a question: %v", err)
		}
	})
	require.NoError(w.t, err)
}

func TestTheEndOfTheWaitTellsWhereTheRequestIs(t *testing.T) {
	w := newWorld(t, timeoutOf(time.Second), chained)
	w.newNode("say", func(e entry) {
		e.reply(wire.AttemptFailed, "model", failureBody("model", "no price", 1, e.RequestID))
		e.ack()
	})
	w.says("etl", 0, func(id string) wire.Known {
		return wire.Known{RequestID: id, State: wire.Finished, Channels: []string{""}}
	})
	w.says("model", 120, func(id string) wire.Known { return wire.Known{RequestID: id, State: wire.Queued, Before: 17} })
	w.says("exit", 0, func(string) wire.Known { return wire.Known{} })
	// On a busy machine not everybody answers soon enough each time.
	eventually(t, "all that is known is told", func() bool {
		_, err := w.say(within(t), "hello")
		told := status.Convert(err)
		require.Equal(t, codes.DeadlineExceeded, told.Code())
		require.Contains(t, told.Message(), "; the last attempt failed: model: no price")
		info := told.Details()[0].(*errdetails.ErrorInfo)
		require.Equal(t, "WAIT_OVER", info.GetReason())
		where := regexp.MustCompile(`^no answer within [\d.]+m?s; finished: etl; waiting: model, with 17 before it; the last`)
		return where.MatchString(told.Message()) && info.GetMetadata()["finished"] == "etl" && info.GetMetadata()["waiting"] == "model"
	})
}

func TestWhereNobodyAnswersTheWaitEndsAllTheSame(t *testing.T) {
	w := newWorld(t, timeoutOf(500*time.Millisecond), chained)
	var asked atomic.Int64
	_, err := w.nats.connect(t).Subscribe(questions, func(*nats.Msg) { asked.Add(1) })
	require.NoError(t, err)
	_, err = w.say(within(t), "hello")
	require.Equal(t, codes.DeadlineExceeded, status.Code(err))
	require.Regexp(t, `^no answer within [\d.]+m?s$`, status.Convert(err).Message())
	require.EqualValues(t, 1, asked.Load())
}
