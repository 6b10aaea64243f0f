// Package run is `kre run`: one version on this machine, for the person who writes its nodes. It embeds the broker,
// supervises runtime-api, the entrypoint and the nodes, which are the programs of the cluster, and replaces what a saved
// file changed.
package run

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"

	"github.com/konstellation-io/kre/cli/internal/guard"
	"github.com/konstellation-io/kre/cli/internal/interrupt"
	"github.com/konstellation-io/kre/cli/internal/libexec"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/ports"
)

// Command is the command line.
type Command struct {
	Target string `arg:"" optional:"" default:"." placeholder:"PROJECT|FILE.krt" help:"Folder of the project, or a packed version."`

	Env          []string `sep:"none" placeholder:"KEY=VALUE" help:"Value of a variable that the manifest declares."`
	File         []string `sep:"none" placeholder:"KEY=PATH" help:"File for a file that the manifest declares."`
	AllowedHosts []string `name:"allowed-host" env:"KRE_ALLOWED_HOSTS" placeholder:"NAME" help:"Names by which versions may be called over HTTP beside localhost and 127.0.0.1: NAME, *.NAME, or * for any."`
	PassEnv      []string `name:"pass-env" env:"KRE_PASS_ENV" placeholder:"NAME" help:"Variables of this environment that nodes get too, e.g. HTTPS_PROXY."`
	EnvFile      string   `type:"path" placeholder:"PATH" help:"File with such values, one KEY=VALUE a line. Default: .env in the project, if there."`

	GRPCPort int    `name:"grpc-port" default:"9000" help:"Port for gRPC; 0 or a taken one: any that is free."`
	HTTPPort int    `name:"http-port" default:"8080" help:"Port for JSON over HTTP; 0 or a taken one: any that is free."`
	NoWatch  bool   `help:"Do not watch for saved files."`
	Attempts int    `help:"How often a failing message is tried. Default: as the manifest says, else once."`
	Replicas int    `help:"Processes of each node. Default: as the manifest says."`
	Data     string `type:"path" placeholder:"DIR" help:"Keep messages in this folder and go on with them next time. Default: a new folder for each run."`
	Race     bool   `help:"Build Go nodes with the race detector, which needs a C compiler."`

	LogFormat string `enum:"text,json" default:"text" help:"text for people, json to pass log lines on as they are."`
	Verbose   bool   `short:"v" help:"Also show what entrypoint and runtime-api do."`
}

// Help is shown below the flags.
func (c *Command) Help() string {
	return `Examples:
  kre run                            the project in this folder; saved files are reloaded
  kre run demo --env CURRENCY=EUR    with a configuration value
  kre run prices.krt                 a packed version, as a cluster would run it
  kre run demo --log-format json | jq .message

Then, in another terminal: kre call RPC '{"field": "value"}'

Ctrl-C stops everything, a second one at once.`
}

// Run runs the version until ctx is cancelled or something ends it. The error is context.Canceled where a person did not
// wait for an orderly start or end.
func (c *Command) Run(ctx context.Context) error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	again, stop := interrupt.Again()
	defer stop()
	settings.again = again
	return runVersion(ctx, settings)
}

// settings are what a run is told, independent of the command line.
type settings struct {
	target       string
	given        given
	passEnv      []string // names of variables that nodes get too
	allowedHosts []string // names by which the version may be called
	grpcPort     int
	httpPort     int
	watch        bool
	attempts     int
	replicas     int
	data         string
	race         bool
	verbose      bool
	json         bool
	color        bool

	out          io.Writer
	nodeLogLevel string // of the nodes; empty: info

	libexec string          // folder of entrypoint, runner and runtime-api
	guard   *exec.Cmd       // nil: none
	again   <-chan struct{} // closed when everything is to end at once
}

// most is how many attempts or replicas can be meant.
const most = 1000

func (c *Command) settings() (settings, error) {
	switch {
	case c.Attempts < 0 || c.Attempts > most:
		return settings{}, fmt.Errorf("--attempts %d: want 1 to %d", c.Attempts, most)
	case c.Replicas < 0 || c.Replicas > most:
		return settings{}, fmt.Errorf("--replicas %d: want 1 to %d", c.Replicas, most)
	}
	if err := launch.CheckAsked(c.PassEnv); err != nil {
		return settings{}, err
	}
	for _, port := range []int{c.GRPCPort, c.HTTPPort} {
		if err := ports.Check(port); err != nil {
			return settings{}, err
		}
	}
	programs, err := libexec.Folder("entrypoint", launch.RunnerName, "runtime-api")
	if err != nil {
		return settings{}, err
	}
	watchdog, err := guard.Command()
	if err != nil {
		return settings{}, err
	}
	return settings{
		target: c.Target, given: given{env: c.Env, files: c.File, envFile: c.EnvFile}, passEnv: c.PassEnv, allowedHosts: c.AllowedHosts,
		grpcPort: c.GRPCPort, httpPort: c.HTTPPort, watch: !c.NoWatch, attempts: c.Attempts, replicas: c.Replicas,
		data: c.Data, race: c.Race, verbose: c.Verbose, json: c.LogFormat == "json", color: screen.WantsColor(os.Stdout),
		nodeLogLevel: os.Getenv("KRE_LOG_LEVEL"), out: os.Stdout, libexec: programs, guard: watchdog,
	}, nil
}
