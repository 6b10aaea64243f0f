// Command runtime-api is the service that each runtime has for itself: it owns what versions need of the broker, keeps their
// packages, and tells what their nodes do and say.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/socket"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
	"github.com/konstellation-io/kre/runtime-api/internal/broker"
	"github.com/konstellation-io/kre/runtime-api/internal/grpcapi"
)

type config struct {
	NATSURL        string `name:"nats-url" help:"Broker; several addresses are separated by commas." default:"nats://127.0.0.1:4222" env:"KRE_NATS_URL" placeholder:"URL" secret:"url"`
	NATSCreds      string `name:"nats-creds" help:"NATS credentials file." env:"KRE_NATS_CREDS" placeholder:"PATH"`
	NATSAccount    string `name:"nats-account-seed-file" help:"File with the seed of the runtime's NATS account; this service lets itself in with it." env:"KRE_NATS_ACCOUNT_SEED_FILE" placeholder:"PATH"`
	GRPCAddr       string `name:"grpc-addr" help:"Address to serve gRPC on: HOST:PORT, or unix:PATH for a socket." default:":9100" env:"KRE_GRPC_ADDR"`
	ServiceToken   string `help:"Token that callers must send; empty: anybody may call." env:"KRE_SERVICE_TOKEN" secret:""`
	StreamReplicas int    `help:"Copies of each stream that the broker keeps: 1, or 3 on a NATS cluster." default:"1" env:"KRE_STREAM_REPLICAS"`

	Packages packagesConfig `embed:""`
	Observe  observeConfig  `embed:""`
}

// stopLimit is how long calls may take that run when the process is told to end.
const stopLimit = 15 * time.Second

// garbage is how much of it may lie about, in percent of what is in use: there is one such service per runtime, and none is
// in a hurry.
const garbage = 50

func main() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(garbage)
	}
	boot.Main("runtime-api", "A runtime's own service: its streams, packages, node states and logs.", run)
}

func run(ctx context.Context, process *boot.Process, config config) error {
	options := broker.Options{CredentialsFile: config.NATSCreds, Replicas: config.StreamReplicas}
	var versions assets.Options
	if config.NATSAccount != "" {
		account, err := broker.ReadAccount(config.NATSAccount)
		if err != nil {
			return err
		}
		options.Account = account
	}
	nats, err := broker.OpenCells(config.NATSURL, process.Logger, options)
	if err != nil {
		return err
	}
	process.OnStop("broker", time.Second, func(context.Context) error { nats.Close(); return nil })

	listener, err := socket.Listen(config.GRPCAddr)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	server := rpc.NewServer(process.Logger, rpc.Options{Token: config.ServiceToken, Telemetry: process.Telemetry})
	if versions.Forget, err = observe(process, config.Observe, nats, server); err != nil {
		return err
	}
	grpcapi.Register(server, assets.NewService(nats, versions))
	waitPackages, err := keepPackages(ctx, process, server, config.Packages)
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	process.OnStop("grpc", stopLimit, server.Stop)

	// Calls are answered from now on, but only with broker and object store are the answers worth having.
	connected := make(chan error, 1)
	go func() { connected <- errors.Join(nats.Home().WaitConnected(ctx), waitPackages(ctx)) }()
	go nats.Recall(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-served:
			if errors.Is(err, grpc.ErrServerStopped) {
				return nil
			}
			return fmt.Errorf("serve gRPC: %w", err)
		case err := <-connected:
			if err != nil {
				return nil //nolint:nilerr // only ctx ends the wait
			}
			if err := process.Ready(); err != nil {
				return err
			}
			connected = nil
		}
	}
}
