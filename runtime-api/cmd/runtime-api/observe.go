package main

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/grpcapi"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
	"github.com/konstellation-io/kre/runtime-api/internal/nodestatus"
	"github.com/konstellation-io/kre/runtime-api/internal/processdir"
)

// observeConfig is where the processes of the runtime are told of, and how much of what they log is kept.
type observeConfig struct {
	ProcessDir  string        `help:"Directory of the runtime in process mode; empty: nothing is told of nodes and logs." env:"KRE_PROCESS_DIR" placeholder:"PATH"`
	LogMaxAge   time.Duration `help:"How long log lines are kept." default:"168h" env:"KRE_LOG_MAX_AGE"`
	LogMaxBytes int64         `help:"How many bytes of log lines are kept." default:"268435456" env:"KRE_LOG_MAX_BYTES"`
}

// observe stores what the processes log and serves that and what their nodes do, if there is a directory that tells. It
// returns what removes the logs of a version and forgets its nodes, or nil.
func observe(process *boot.Process, config observeConfig, nats *broker.Cells, server grpc.ServiceRegistrar) (func(context.Context, string) error, error) {
	if config.ProcessDir == "" {
		return nil, nil
	}
	dir := processdir.Open(config.ProcessDir)
	store := nats.Home().Logs(broker.LogOptions{MaxAge: config.LogMaxAge, MaxBytes: config.LogMaxBytes})
	follower := processdir.NewFollower(dir, store, process.Logger)
	logs := logbook.NewService(store, follower)
	nodes := nodestatus.NewService(dir, nodestatus.Options{})
	if err := nats.Notes(nodes.Note); err != nil {
		return nil, err
	}
	grpcapi.RegisterLogs(server, logs)
	grpcapi.RegisterNodes(server, nodes)

	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		follower.Run(ctx)
	}()
	process.OnStop("logs", stopLimit, func(stop context.Context) error {
		cancel()
		select {
		case <-ended:
			return nil
		case <-stop.Done():
			return stop.Err()
		}
	})
	return func(ctx context.Context, version string) error {
		nodes.Forget(version)
		return logs.Forget(ctx, version)
	}, nil
}
