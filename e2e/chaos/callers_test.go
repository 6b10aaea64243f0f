package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"

	"github.com/konstellation-io/kre/e2e/harness"
)

// answered is one answer of a greeting.
type answered struct {
	begun, ended time.Time
	version      string
}

// callers call a runtime's stable address in every way until they are stopped.
type callers struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex
	answers []answered
	failed  []string
}

// call starts n callers: by turns over gRPC and HTTP, each with a connection per call and with one that lasts.
func call(t *testing.T, runtime *adminv1.Runtime, n int) *callers {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &callers{cancel: cancel}
	kinds := []func() (func(context.Context) (string, error), func()){
		func() (func(context.Context) (string, error), func()) {
			return lastingGRPC(t, runtime.GetGrpcAddress())
		},
		func() (func(context.Context) (string, error), func()) {
			return overHTTP(runtime.GetHttpAddress(), false)
		},
		func() (func(context.Context) (string, error), func()) { return freshGRPC(t, runtime.GetGrpcAddress()) },
		func() (func(context.Context) (string, error), func()) {
			return overHTTP(runtime.GetHttpAddress(), true)
		},
	}
	for i := range n {
		kind := []string{"lasting gRPC", "lasting HTTP", "fresh gRPC", "fresh HTTP"}[i%4]
		ask, done := kinds[i%4]()
		c.wait.Go(func() {
			defer done()
			for ctx.Err() == nil {
				begun := time.Now()
				// A call that has begun goes on to its end: stopping the load is no failure.
				limited, free := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
				version, err := ask(limited)
				free()
				c.mu.Lock()
				if err != nil {
					c.failed = append(c.failed, fmt.Sprintf("%s %s: %v", begun.Format("15:04:05.000"), kind, err))
				} else {
					c.answers = append(c.answers, answered{begun: begun, ended: time.Now(), version: version})
				}
				c.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { c.stop() })
	return c
}

// stop ends the load and returns what was answered and what failed.
func (c *callers) stop() (answers []answered, failed []string) {
	c.cancel()
	c.wait.Wait()
	return c.answers, c.failed
}

// count is how many answers there were so far.
func (c *callers) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.answers)
}

// last is when the last call began that this version answered.
func (c *callers) last(version string) (begun time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, answer := range c.answers {
		if answer.version == version && answer.begun.After(begun) {
			begun = answer.begun
		}
	}
	return begun
}

const greetRPC = "greeting.Greeting/Greet"

func lastingGRPC(t *testing.T, address string) (func(context.Context) (string, error), func()) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client := harness.NewClient(conn)
	return func(ctx context.Context) (string, error) {
		answer, err := client.Call(ctx, greetRPC, `{"name":"Ada"}`)
		if err != nil {
			return "", err
		}
		return versionOf(answer)
	}, func() { _ = conn.Close() }
}

func freshGRPC(t *testing.T, address string) (func(context.Context) (string, error), func()) {
	t.Helper()
	described, forget := lastingDescription(t, address)
	return func(ctx context.Context) (string, error) {
		conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			return "", err
		}
		defer conn.Close() //nolint:errcheck // the answer is there
		answer, err := described.On(conn).Call(ctx, greetRPC, `{"name":"Ada"}`)
		if err != nil {
			return "", err
		}
		return versionOf(answer)
	}, forget
}

// lastingDescription asks once for the service's description, which is the same for every version.
func lastingDescription(t *testing.T, address string) (*harness.Client, func()) {
	t.Helper()
	conn, err := grpc.NewClient(address, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	client := harness.NewClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	defer cancel()
	if _, err := client.Call(ctx, greetRPC, `{"name":"Ada"}`); err != nil {
		t.Fatal(err)
	}
	return client, func() { _ = conn.Close() }
}

func overHTTP(address string, fresh bool) (func(context.Context) (string, error), func()) {
	transport := &http.Transport{DisableKeepAlives: fresh, MaxIdleConnsPerHost: 1}
	client := &http.Client{Transport: transport}
	return func(ctx context.Context) (string, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodPost, address+"/"+greetRPC, strings.NewReader(`{"name":"Ada"}`))
		if err != nil {
			return "", err
		}
		request.Header.Set("Content-Type", "application/json")
		request.GetBody = nil // no quiet repetition by the client: a lost call shows
		response, err := client.Do(request)
		if err != nil {
			return "", err
		}
		defer response.Body.Close() //nolint:errcheck // read to its end
		body, err := io.ReadAll(response.Body)
		if err != nil {
			return "", err
		}
		if response.StatusCode != http.StatusOK {
			return "", fmt.Errorf("%s: %s", response.Status, body)
		}
		return versionOf(string(body))
	}, transport.CloseIdleConnections
}

func versionOf(answer string) (string, error) {
	var greeting struct{ Text, Version string }
	if err := json.Unmarshal([]byte(answer), &greeting); err != nil {
		return "", err
	}
	if !strings.HasSuffix(greeting.Text, " Ada") {
		return "", fmt.Errorf("another caller's answer: %s", answer)
	}
	return greeting.Version, nil
}
