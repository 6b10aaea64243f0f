// Command entrypoint answers the callers of one version: gRPC and HTTP on one side, the version's nodes, through NATS
// JetStream, on the other.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
)

type config struct {
	Config          string   `name:"config" help:"Configuration of the version's entrypoint, a JSON file." required:"" env:"KRE_CONFIG" placeholder:"PATH"`
	NATSURL         string   `name:"nats-url" help:"Broker; several, separated by commas." required:"" env:"KRE_NATS_URL" secret:"url"`
	NATSCreds       string   `name:"nats-creds" help:"NATS credentials file." env:"KRE_NATS_CREDS" placeholder:"PATH"`
	Package         string   `help:"Root of the unpacked package." default:"." env:"KRE_PACKAGE" placeholder:"PATH"`
	GRPCAddr        string   `name:"grpc-addr" help:"Address of the gRPC port." default:":9000" env:"KRE_GRPC_ADDR"`
	HTTPAddr        string   `name:"http-addr" help:"Address of the HTTP port." default:":8080" env:"KRE_HTTP_ADDR"`
	MaxInFlight     int      `help:"Requests that may be in flight at once." default:"1024" env:"KRE_MAX_IN_FLIGHT"`
	MaxRequestBytes int      `help:"Bytes a request may have; the broker's limit holds besides." default:"8388608" env:"KRE_MAX_REQUEST_BYTES"`
	AllowedHosts    []string `help:"Names by which the version may be called over HTTP beside those of the loopback interface: NAME, *.NAME, or * for any. Default: any where the HTTP port is reached from elsewhere." env:"KRE_ALLOWED_HOSTS" placeholder:"NAME"`
	DrainSeconds    int      `help:"How long to wait for answers when told to end." default:"30" env:"KRE_DRAIN_SECONDS"`
}

func main() {
	boot.Main("entrypoint", "Answers the callers of one version.", run)
}

// stopSlack is what stopping may take beside the draining.
const stopSlack = 15 * time.Second

func run(ctx context.Context, process *boot.Process, c config) error {
	version, err := readConfig(c.Config)
	if err != nil {
		return err
	}
	grpcListener, err := net.Listen("tcp", c.GRPCAddr)
	if err != nil {
		return fmt.Errorf("opening the gRPC port: %w", err)
	}
	httpListener, err := net.Listen("tcp", c.HTTPAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("opening the HTTP port: %w", err), grpcListener.Close())
	}
	drain := time.Duration(max(0, c.DrainSeconds)) * time.Second
	logger := process.Logger.With(log.Version(version.Version))
	entrypoint, err := instance.Start(ctx, instance.Options{
		Config:          version,
		Package:         os.DirFS(c.Package),
		Broker:          broker.Options{URL: c.NATSURL, Creds: c.NATSCreds, Name: "entrypoint of " + version.Version},
		MaxInFlight:     c.MaxInFlight,
		MaxRequestBytes: c.MaxRequestBytes,
		AllowedHosts:    c.AllowedHosts,
		Drain:           drain,
		Telemetry:       process.Telemetry,
	}, grpcListener, httpListener, logger)
	if err != nil {
		return err
	}
	process.OnStop("entrypoint", drain+stopSlack, entrypoint.Stop)
	if err := entrypoint.Await(ctx); err != nil {
		return err
	}
	if err := process.Ready(); err != nil {
		return err
	}
	watched := make(chan error, 1)
	go func() { watched <- entrypoint.Watch(ctx) }()
	select {
	case err := <-watched: // ctx has ended
		return err
	case err := <-entrypoint.Failed():
		return err
	}
}

func readConfig(path string) (plan.Entrypoint, error) {
	var c plan.Entrypoint
	text, err := os.ReadFile(path)
	if err != nil {
		return c, fmt.Errorf("reading the configuration: %w", err)
	}
	if err := json.Unmarshal(text, &c); err != nil {
		return c, fmt.Errorf("reading the configuration %s: %w", path, err)
	}
	switch {
	case c.Version == "":
		return c, fmt.Errorf("the configuration %s has no version", path)
	case c.ReplyTo == "":
		return c, fmt.Errorf("the configuration %s has no replyTo", path)
	case len(c.Workflows) == 0:
		return c, fmt.Errorf("the configuration %s has no workflows", path)
	}
	for _, workflow := range c.Workflows {
		if workflow.Subject == "" || workflow.TimeoutMs <= 0 {
			return c, fmt.Errorf("the configuration %s: workflow %q needs a subject and a timeoutMs above 0", path, workflow.Name)
		}
	}
	return c, nil
}
