package boot

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"go.opentelemetry.io/otel"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/probes"
	"github.com/konstellation-io/kre/kit/telemetry"
)

// flushLimit is how long the end of a program waits for its last spans to be sent.
const flushLimit = 2 * time.Second

// observe gives the process its telemetry, and serves what probes and Prometheus ask for. The function that it returns
// ends that: it is called when everything else has stopped, so that the end is observed too.
func observe(ctx context.Context, process *Process, name string, flags telemetry.Flags) (func(), error) {
	// Without it, the library writes to standard error past our format.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { process.Logger.Warn("telemetry", log.Error(err)) }))
	opened, release, err := flags.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	process.Telemetry = opened
	flush := func() {
		ctx, cancel := context.WithTimeout(context.Background(), flushLimit)
		defer cancel()
		if err := release(ctx); err != nil {
			process.Logger.Warn("sending the last traces", log.Error(err))
		}
	}
	if flags.MetricsAddr == "" {
		return flush, nil
	}
	listener, err := net.Listen("tcp", flags.MetricsAddr)
	if err != nil {
		flush()
		return nil, fmt.Errorf("listen for metrics: %w", err)
	}
	process.Logger.Info("serving", zap.String("protocol", "metrics"), zap.Stringer("address", listener.Addr()))
	server := &http.Server{Handler: probes.Handler(opened.Metrics, process.isReady), ReadHeaderTimeout: 5 * time.Second}
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			process.Logger.Warn("serving metrics", log.Error(err))
		}
	}()
	return func() {
		_ = server.Close() // nobody waits for an answer that matters
		<-served
		flush()
	}, nil
}
