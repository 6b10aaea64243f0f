package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/e2e/harness"
)

// caller calls an rpc in one of the two ways and returns the answer's JSON, or the error's code and text.
type caller func(ctx context.Context, rpc, body string) (answer string, code codes.Code, message string)

func overGRPC(client *harness.Client) caller {
	return func(ctx context.Context, rpc, body string) (string, codes.Code, string) {
		answer, err := client.Call(ctx, rpc, body)
		return answer, status.Code(err), status.Convert(err).Message()
	}
}

func overHTTP(v *version) caller {
	return func(ctx context.Context, rpc, body string) (string, codes.Code, string) {
		answer, err := v.JSON(ctx, rpc, body)
		if err != nil {
			return "", codes.Unknown, err.Error()
		}
		if answer.Status == http.StatusOK {
			return answer.Body, codes.OK, ""
		}
		return "", answer.GRPCCode(), answer.Message()
	}
}

// answered is the part of an answer that tells whose it is.
type answered struct {
	ID   string   `json:"id"`
	Path []string `json:"path"`
}

func givesEachItsOwn(t *testing.T, v *version) {
	const callers = 200
	ctx := patience(t)
	ways := []caller{overGRPC(v.GRPC(t)), overHTTP(v)}
	// All start at one moment, so that their messages meet in every node.
	start := make(chan struct{})
	problems := make([]string, callers)
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			<-start
			id := fmt.Sprintf("own-%d", i)
			fails := i%10 == 9
			request := map[string]string{"id": id}
			if fails {
				request["fail"] = []string{"first", "second", "third"}[i/10%3]
			}
			body, err := json.Marshal(request)
			if err != nil {
				problems[i] = err.Error()
				return
			}
			answer, code, message := ways[i%len(ways)](ctx, "steps.Steps/Chain", string(body))
			problems[i] = judge(id, request["fail"], answer, code, message)
		})
	}
	close(start)
	group.Wait()
	require.Equal(t, make([]string, callers), problems)
}

// judge says what is wrong with what a caller got; nothing if it is its own answer, or its own error where a node fails.
func judge(id, fails, answer string, code codes.Code, message string) string {
	if fails == "" {
		var got answered
		if code != codes.OK {
			return fmt.Sprintf("%s: %s: %s", id, code, message)
		}
		if err := json.Unmarshal([]byte(answer), &got); err != nil || got.ID != id || len(got.Path) != 3 {
			return fmt.Sprintf("%s: got %s", id, answer)
		}
		return ""
	}
	// Python puts the type of the exception before its text.
	for _, want := range []string{fmt.Sprintf("%s: no %s", fails, id), fmt.Sprintf("%s: ValueError: no %s", fails, id)} {
		if code == codes.Internal && message == want {
			return ""
		}
	}
	return fmt.Sprintf("%s: wanted the error of %s, got %q %s: %s", id, fails, answer, code, message)
}
