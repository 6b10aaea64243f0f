// Package up is `kre up`: the whole engine on this machine. It embeds the stores, supervises admin-api and k8s-manager,
// which are the programs of a cluster, and tells the other commands how to reach them.
package up

import (
	"context"
	"errors"
	"fmt"
	"os/exec"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/contexts"
	"github.com/konstellation-io/kre/cli/internal/guard"
	"github.com/konstellation-io/kre/cli/internal/interrupt"
	"github.com/konstellation-io/kre/cli/internal/libexec"
	"github.com/konstellation-io/kre/cli/internal/ports"
)

// Command is the command line.
type Command struct {
	Data string `placeholder:"DIR" type:"path" env:"KRE_DATA" help:"Folder where everything is kept. Default: kre in the user's data folder."`

	HTTPPort        int `name:"http-port" default:"7080" help:"Port of the engine's REST API; 0 or a taken one: any that is free."`
	GRPCPort        int `name:"grpc-port" default:"7081" help:"Port of the engine's gRPC API; 0 or a taken one: any that is free."`
	RuntimeGRPCPort int `name:"runtime-grpc-port" default:"9000" help:"First port for gRPC of published versions: each runtime gets the next free one, and keeps it. 0: any."`
	RuntimeHTTPPort int `name:"runtime-http-port" default:"8080" help:"First port for HTTP of published versions. 0: any."`

	NATSURL      string `name:"nats-url" placeholder:"URL" help:"A real NATS in operator mode, in place of the embedded one. Needs --nats-operator."`
	NATSOperator string `name:"nats-operator" placeholder:"DIR" type:"path" help:"Folder with the operator that the NATS at --nats-url trusts, made by: kre store broker-config DIR."`
	MongoURI     string `name:"mongo-uri" placeholder:"URI" help:"A real MongoDB, in place of the embedded document store."`
	S3URL        string `name:"s3-url" placeholder:"URL" help:"A real S3 server, http://KEY:SECRET@HOST:PORT, in place of the embedded object store."`

	Context string `placeholder:"NAME" help:"Name under which the other commands know this engine. Default: local."`
	Verbose bool   `short:"v" help:"Also show what admin-api and k8s-manager log."`
}

// Help is shown below the flags.
func (c *Command) Help() string {
	return `Examples:
  kre up                       everything on this machine; Ctrl-C stops it
  kre up --data /srv/kre       with its data there
  kre up --mongo-uri mongodb://127.0.0.1:27017 --s3-url http://KEY:SECRET@127.0.0.1:9100

Then, in another terminal:
  kre runtime create demo && kre runtime use demo
  kre version create PROJECT && kre status

A second start finds everything as it was. Only this machine can reach it. With a NATS of its own:
  kre store broker-config operator       makes keys and operator/nats.conf, once
  nats-server -c operator/nats.conf
  kre up --nats-url nats://127.0.0.1:4222 --nats-operator operator

Ctrl-C stops everything in order, a second one at once.`
}

// Validate checks what the flags say together.
func (c *Command) Validate() error {
	for _, port := range []int{c.HTTPPort, c.GRPCPort, c.RuntimeGRPCPort, c.RuntimeHTTPPort} {
		if err := ports.Check(port); err != nil {
			return err
		}
	}
	if (c.NATSURL == "") != (c.NATSOperator == "") {
		return errors.New("--nats-url and --nats-operator belong together: kre store broker-config DIR makes an operator and the configuration of a NATS that trusts it")
	}
	if _, err := parseS3(c.S3URL); err != nil {
		return err
	}
	return nil
}

// Run keeps the engine up until ctx is cancelled or something ends it. The error is context.Canceled where a person did
// not wait for an orderly start or end.
func (c *Command) Run(ctx context.Context, console *console.Console) error {
	settings, err := c.settings(console)
	if err != nil {
		return err
	}
	again, stop := interrupt.Again()
	defer stop()
	settings.again = again
	return run(ctx, settings)
}

// settings are what an engine is told, independent of the command line.
type settings struct {
	data                  string // absolute
	http, grpc            int    // wanted ports; 0: any
	firstGRPC, firstHTTP  int    // of the runtimes; 0: any
	natsURL, natsOperator string // empty: the embedded one
	mongoURI              string // empty: the embedded one
	s3                    *s3    // nil: the embedded one
	context               string // to write
	contextNamed          bool   // it was asked for
	verbose               bool
	console               *console.Console
	libexec               string          // folder of admin-api and k8s-manager
	guard                 *exec.Cmd       // nil: none
	again                 <-chan struct{} // closed when everything is to end at once
}

func (c *Command) settings(console *console.Console) (settings, error) {
	data := c.Data
	if data == "" {
		var err error
		if data, err = defaultData(); err != nil {
			return settings{}, err
		}
	}
	programs, err := libexec.Folder("admin-api", "k8s-manager", "runtime-api", "entrypoint")
	if err != nil {
		return settings{}, err
	}
	watchdog, err := guard.Command()
	if err != nil {
		return settings{}, err
	}
	s3, err := parseS3(c.S3URL)
	if err != nil {
		return settings{}, err
	}
	s := settings{
		data: data, http: c.HTTPPort, grpc: c.GRPCPort, firstGRPC: c.RuntimeGRPCPort, firstHTTP: c.RuntimeHTTPPort,
		natsURL: c.NATSURL, natsOperator: c.NATSOperator, mongoURI: c.MongoURI, s3: s3,
		context: c.Context, contextNamed: c.Context != "", verbose: c.Verbose,
		console: console, libexec: programs, guard: watchdog,
	}
	if s.context == "" {
		s.context = contexts.Local
	}
	return s, nil
}

// explain says of an error what was tried; nil where there is none.
func explain(tried string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("cannot %s: %w", tried, err)
}
