package instance_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
)

func TestStoppingRefusesNewCallsAndWaitsForThoseThatWait(t *testing.T) {
	w := newWorld(t)
	hold, arrived := make(chan struct{}), make(chan struct{})
	w.newNode("say", func(e entry) { close(arrived); <-hold; echo(e) })
	var overGRPC sync.WaitGroup
	overGRPC.Go(func() {
		got, err := w.say(within(t), "before")
		if err != nil || got != "before" {
			t.Errorf("got %q, %v", got, err)
		}
	})
	<-arrived
	w.stopped = true
	stopped := make(chan error, 1)
	go func() { stopped <- w.instance.Stop(context.Background()) }()

	eventually(t, "new calls are refused", func() bool { return !w.instance.Ready() })
	_, err := w.say(within(t), "after")
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Equal(t, "this entrypoint is stopping and takes no new requests", status.Convert(err).Message())
	got := w.send("POST", "/echo.Echo/Say", `"after"`, asJSON)
	require.Equal(t, http.StatusServiceUnavailable, got.code)
	require.Equal(t, http.StatusServiceUnavailable, w.send("GET", "/readyz", "").code)
	answer, err := healthpb.NewHealthClient(w.grpc).Check(within(t), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	require.Equal(t, healthpb.HealthCheckResponse_NOT_SERVING, answer.GetStatus())

	select {
	case err := <-stopped:
		require.Fail(t, "stopped while a caller waits", "%v", err)
	default:
	}
	close(hold)
	overGRPC.Wait()
	require.NoError(t, <-stopped)
}

func TestStoppingSendsThoseAwayWhoWaitTooLong(t *testing.T) {
	w := newWorld(t, func(o *instance.Options) { o.Drain = 100 * time.Millisecond })
	arrived := make(chan struct{})
	w.newNode("say", func(entry) { close(arrived) })
	done := make(chan error, 1)
	go func() {
		_, err := w.say(within(t), "hello")
		done <- err
	}()
	<-arrived
	w.stop()
	err := <-done
	require.Equal(t, codes.Unavailable, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "the request goes on")
}

func TestStoppingIsNotHeldUpByWhoWatchesTheHealth(t *testing.T) {
	w := newWorld(t)
	watch, err := healthpb.NewHealthClient(w.grpc).Watch(within(t), &healthpb.HealthCheckRequest{})
	require.NoError(t, err)
	_, err = watch.Recv()
	require.NoError(t, err)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	w.stopped = true
	require.NoError(t, w.instance.Stop(ctx))
	require.NoError(t, ctx.Err())
}

func TestStoppingBeforeTheBrokerWasEverThereEnds(t *testing.T) {
	w := &world{t: t, nats: startNATS(t, 0, t.TempDir())}
	w.options = newWorldOptions(w)
	w.nats.Shutdown()
	w.nats.WaitForShutdown()
	w.start()
	ctx, cancel := context.WithCancel(within(t))
	cancel()
	require.ErrorIs(t, w.instance.Await(ctx), context.Canceled)
	w.stop()
}
