// Package up is `kre up`: the whole engine on this machine. It embeds the stores, or uses those it is told, and supervises
// admin-api and k8s-manager, which are the programs of the cluster. What they do for runtimes and versions is theirs.
package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/guard"
	"github.com/konstellation-io/kre/cli/internal/interrupt"
	"github.com/konstellation-io/kre/cli/internal/libexec"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/kit/ports"
)

// Command is the command line.
type Command struct {
	Data string `env:"KRE_DATA" placeholder:"DIR" help:"Folder for everything the engine keeps. Default: kre in the user's data folder."`

	HTTPPort        int `name:"http-port" default:"7080" help:"Port of the engine's HTTP API; 0 or a taken one: any that is free."`
	GRPCPort        int `name:"grpc-port" default:"7081" help:"Port of the engine's gRPC API; 0 or a taken one: any that is free."`
	RuntimeGRPCPort int `name:"runtime-grpc-port" default:"9000" help:"Runtimes get the first free pair of ports from here upwards, and keep it; 0: from any free one."`
	RuntimeHTTPPort int `name:"runtime-http-port" default:"8080" help:"The same for JSON over HTTP."`

	NATSURL      string `name:"nats-url" env:"KRE_UP_NATS_URL" placeholder:"URL" help:"NATS server to use instead of the embedded one, in operator mode."`
	NATSOperator string `name:"nats-operator" env:"KRE_UP_NATS_OPERATOR" placeholder:"DIR" help:"Folder with operator.seed and system.creds of that server."`
	MongoURI     string `name:"mongo-uri" env:"KRE_UP_MONGO_URI" placeholder:"URI" help:"MongoDB to use instead of the embedded store of documents."`
	S3URL        string `name:"s3-url" env:"KRE_UP_S3_URL" placeholder:"URL" help:"S3 to use instead of the embedded store of objects: http://key:secret@host:port."`

	AllowedHosts []string `name:"allowed-host" env:"KRE_ALLOWED_HOSTS" placeholder:"NAME" help:"Names by which versions may be called over HTTP beside localhost and 127.0.0.1: NAME, *.NAME, or * for any."`
	PassEnv      []string `name:"pass-env" env:"KRE_PASS_ENV" placeholder:"NAME" help:"Variables of this environment that nodes get too, e.g. HTTPS_PROXY."`
	Verbose      bool     `short:"v" help:"Show what the services log, instead of writing it into files."`
}

// Help is shown below the flags.
func (c *Command) Help() string {
	return `Examples:
  kre up                         the engine; another terminal runs kre runtime create demo
  kre up --data /srv/kre         with its data elsewhere
  kre up --http-port 0           on any free port

Writes the context "local", with which kre's other commands find the engine and are allowed in. DIR/up.json tells other
programs where it is while it runs; DIR/secrets/admin.token is the administrator's token, DIR/logs what the services say.

Ctrl-C stops everything, a second one at once. Next time it goes on with everything that ran.`
}

// Run runs the engine until ctx is cancelled or it cannot start. The error is context.Canceled where a person did not wait
// for an orderly start or end.
func (c *Command) Run(ctx context.Context) error {
	settings, err := c.settings()
	if err != nil {
		return err
	}
	again, stop := interrupt.Again()
	defer stop()
	settings.again = again
	return runEngine(ctx, settings)
}

// settings are what the engine is told, independent of the command line. All paths are absolute: the embedded store of
// objects changes the working directory.
type settings struct {
	data         string
	http         int
	grpc         int
	firstRPC     int
	firstWeb     int
	given        given
	passEnv      []string // names of variables that nodes get too
	allowedHosts []string // names by which versions may be called
	verbose      bool
	color        bool

	out     io.Writer
	config  string          // file of the contexts
	libexec string          // folder of admin-api and k8s-manager
	guard   *exec.Cmd       // nil: none
	again   <-chan struct{} // closed when everything is to end at once
}

// given are the stores that a person has; zero values stand for embedded ones.
type given struct {
	nats     string // URL
	operator string // folder
	mongo    string
	s3       s3
}

// s3 is how a store of objects is reached.
type s3 struct{ endpoint, access, secret string }

func (c *Command) settings() (settings, error) {
	for _, port := range []int{c.HTTPPort, c.GRPCPort, c.RuntimeGRPCPort, c.RuntimeHTTPPort} {
		if err := ports.Check(port); err != nil {
			return settings{}, err
		}
	}
	if err := launch.CheckAsked(c.PassEnv); err != nil {
		return settings{}, err
	}
	stores, err := c.given()
	if err != nil {
		return settings{}, err
	}
	data, err := c.dataDir()
	if err != nil {
		return settings{}, err
	}
	config, err := cliconfig.File()
	if err != nil {
		return settings{}, err
	}
	programs, err := libexec.Folder(adminAPI, k8sManager, "runtime-api", "entrypoint", launch.RunnerName)
	if err != nil {
		return settings{}, err
	}
	watchdog, err := guard.Command()
	if err != nil {
		return settings{}, err
	}
	return settings{
		data: data, http: c.HTTPPort, grpc: c.GRPCPort, firstRPC: c.RuntimeGRPCPort, firstWeb: c.RuntimeHTTPPort,
		given: stores, passEnv: c.PassEnv, allowedHosts: c.AllowedHosts, verbose: c.Verbose, color: screen.WantsColor(os.Stdout), out: os.Stdout,
		config: config, libexec: programs, guard: watchdog,
	}, nil
}

func (c *Command) given() (given, error) {
	g := given{nats: c.NATSURL, mongo: c.MongoURI}
	if (c.NATSURL == "") != (c.NATSOperator == "") {
		return given{}, errors.New("--nats-url and --nats-operator go together: the engine makes an account for each runtime")
	}
	if c.NATSOperator != "" {
		var err error
		if g.operator, err = filepath.Abs(c.NATSOperator); err != nil {
			return given{}, err
		}
		for _, name := range []string{operatorSeed, systemCreds} {
			if _, err := os.Stat(filepath.Join(g.operator, name)); err != nil {
				return given{}, fmt.Errorf("--nats-operator: %w; `kre store secrets` makes such a folder", err)
			}
		}
	}
	if c.S3URL != "" {
		var err error
		if g.s3, err = parseS3(c.S3URL); err != nil {
			return given{}, err
		}
	}
	return g, nil
}

// parseS3 takes the keys out of a URL, which no error shows.
func parseS3(text string) (s3, error) {
	wrong := errors.New("--s3-url: want http://key:secret@host:port")
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User == nil || u.Scheme != "http" && u.Scheme != "https" {
		return s3{}, wrong
	}
	secret, ok := u.User.Password()
	if !ok || u.User.Username() == "" {
		return s3{}, wrong
	}
	return s3{endpoint: u.Scheme + "://" + u.Host, access: u.User.Username(), secret: secret}, nil
}

// dataDir is the folder of everything the engine keeps, as an absolute path.
func (c *Command) dataDir() (string, error) {
	if c.Data != "" {
		return filepath.Abs(c.Data)
	}
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kre"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("cannot find the user's data folder: %w; --data names another one", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "kre"), nil
	}
	return filepath.Join(home, ".local", "share", "kre"), nil
}
