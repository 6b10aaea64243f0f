package e2e_test

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
)

func takesAMessageOnce(t *testing.T, v *version) {
	graphs := map[string][]string{
		"Diamond": {"split", "left", "right", "join", "join"},        // join gets one from each side
		"Fan":     {"hub", "one", "two", "three", "aside", "beside"}, // the last two share a channel
	}
	for rpc, want := range graphs {
		t.Run(rpc, func(t *testing.T) {
			const requests = 50
			client := v.GRPC(t)
			errs := make([]error, requests)
			var group sync.WaitGroup
			for i := range requests {
				group.Go(func() {
					_, errs[i] = client.Call(t.Context(), "steps.Steps/"+rpc, fmt.Sprintf(`{"id":"%s-%d"}`, rpc, i))
				})
			}
			group.Wait()
			for i, err := range errs {
				require.NoError(t, err, "request %d", i)
			}
			for i := range requests {
				v.waitRuns(t, fmt.Sprintf("%s-%d", rpc, i), slices.Clone(want)...)
			}
		})
	}
}

func answersEarlyAndGoesOn(t *testing.T, v *version) {
	answer := v.MustJSON(t, "steps.Steps/Chain", `{"id":"reply","earlyReply":"first"}`)
	require.JSONEq(t, `{"id":"reply","path":["first"],"note":"early reply"}`, answer)
	v.waitRuns(t, "reply", "first", "second", "third")
}

func answersEarlyAndStops(t *testing.T, v *version) {
	answer, err := v.JSON(patience(t), "steps.Steps/Chain", `{"id":"exit","earlyExit":"second"}`)
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"exit","path":["first","second"],"note":"early exit"}`, answer.Body)
	v.waitRuns(t, "exit", "first", "second")
	// The exitpoint, and nobody else, sees early answers of the nodes it subscribes to.
	require.Equal(t, []string{"third"}, v.others(t, "early", answer.RequestID))
}

func handsAnErrorOn(t *testing.T, v *version) {
	_, err := v.GRPC(t).Call(patience(t), "steps.Steps/Diamond", `{"id":"behind","failFinal":"split"}`)
	require.Equal(t, codes.Internal, status.Code(err))
	require.Regexp(t, `^split: .*never behind$`, status.Convert(err).Message())
	v.waitRuns(t, "behind", "split")
	// The handlers are untyped: they get the error, and pass nothing on by themselves.
	require.Equal(t, []string{"left", "right"}, v.others(t, "error", failureOf(t, err).GetMetadata()["request_id"]))
}

// The error and the exitpoint's answer to it are no race: all callers get the same.
func letsTheExitpointAnswerErrors(t *testing.T, v *version) {
	client := v.GRPC(t)
	const callers = 40
	answers := make([]string, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			answer, err := client.Call(patience(t), "steps.Steps/Fan", fmt.Sprintf(`{"id":"excused-%d","failFinal":"hub"}`, i))
			answers[i] = fmt.Sprint(answer, err)
		})
	}
	group.Wait()
	for _, answer := range answers {
		require.Equal(t, `{"note":"excused"}<nil>`, strings.ReplaceAll(answer, " ", ""))
	}
}

// failureOf returns what an error tells about the node that failed.
func failureOf(t *testing.T, err error) *errdetails.ErrorInfo {
	t.Helper()
	info := harness.Detail[*errdetails.ErrorInfo](err)
	require.NotNil(t, info, "the error does not tell which node failed: %v", err)
	return info
}

func endsTheWait(t *testing.T, v *version) {
	client := v.GRPC(t)
	_, err := client.Call(patience(t), "steps.Steps/Chain", `{"id":"in time"}`)
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = client.Call(ctx, "steps.Steps/Chain", `{"id":"late","slow":"second","slowMs":3000}`)
	require.Equal(t, codes.DeadlineExceeded, status.Code(err), err)
	v.endsWithout(t, "late", "third")
}

// endsWithout waits until nothing is under way any more: what a request had not come to when its caller had gone is not run.
func (v *version) endsWithout(t *testing.T, id, node string) {
	t.Helper()
	v.Broker(t).WaitIdle(t)
	require.NotContains(t, v.runs(t, id), node)
}

func endsTheWaitOverHTTP(t *testing.T, v *version) {
	answer, err := v.Post(patience(t), "/steps.Steps/Chain", "application/json", `{"id":"later","slow":"second","slowMs":3000}`,
		"Connect-Protocol-Version: 1", "Connect-Timeout-Ms: 1000")
	require.NoError(t, err)
	require.Equal(t, codes.DeadlineExceeded, answer.GRPCCode(), answer.Body)
	v.endsWithout(t, "later", "third")
}

func tellsWhereTheRequestIs(t *testing.T, v *version) {
	where := regexp.MustCompile(`^no answer within [^;]*; finished: first; (running: second for |waiting: second$|waiting: second, with )`)
	harness.Eventually(t, "the end of the wait tells where the request is", func() (bool, string) {
		answer, err := v.Post(patience(t), "/steps.Steps/Chain", "application/json", `{"id":"where","slow":"second","slowMs":1500}`,
			"Connect-Protocol-Version: 1", "Connect-Timeout-Ms: 1000")
		require.NoError(t, err)
		require.Equal(t, codes.DeadlineExceeded, answer.GRPCCode(), answer.Body)
		return where.MatchString(answer.Message()), answer.Message()
	})
	v.Broker(t).WaitIdle(t)
}

func triesAsOften(t *testing.T, v *version) {
	_, err := v.GRPC(t).Call(patience(t), "steps.Steps/Diamond", `{"id":"often","fail":"split"}`)
	require.Equal(t, codes.Internal, status.Code(err), err)
	require.Regexp(t, `^split: .*no often$`, status.Convert(err).Message())
	require.Equal(t, "5", failureOf(t, err).GetMetadata()["attempts"])
	v.waitRuns(t, "often", "split", "split", "split", "split", "split")
}

// Five attempts take at least 1.5 s, the pauses between them alone: not all are made for a caller who has gone.
func tellsWhatWentWrong(t *testing.T, v *version) {
	answer, err := v.Post(patience(t), "/steps.Steps/Diamond", "application/json", `{"id":"wrong","fail":"split"}`,
		"Connect-Protocol-Version: 1", "Connect-Timeout-Ms: 1200")
	require.NoError(t, err)
	require.Equal(t, codes.DeadlineExceeded, answer.GRPCCode(), answer.Body)
	require.Contains(t, answer.Message(), "no wrong")
	require.Contains(t, answer.Message(), "split")
	v.Broker(t).WaitIdle(t)
	runs := v.runs(t, "wrong")
	require.Less(t, len(runs), 5)
	letters := slices.DeleteFunc(v.Broker(t).Messages(t, "dead_"), func(letter *jetstream.RawStreamMsg) bool {
		return !strings.Contains(string(letter.Data), "wrong")
	})
	require.Len(t, letters, 1)
	require.Equal(t, strconv.Itoa(len(runs)), letters[0].Header.Get("Kre-Attempts"))
}
