// Package launch turns a version that runtime-api has prepared into processes of this machine: it says with which
// program, arguments and environment each is started, and lays down the files that it reads. It starts nothing itself:
// what it returns is for kit/proc.
package launch

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/konstellation-io/kre/kit/proc"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// DefaultStartTimeout is how long a process may take to become ready where its node does not say.
const DefaultStartTimeout = 60 * time.Second

// Settings are what the processes of a version share.
type Settings struct {
	Package         string            // root of the unpacked package or project, absolute; their working directory
	NATSURL         string            // broker
	NATSCredentials string            // absolute path of a NATS credentials file; empty: none
	Variables       map[string]string // configuration values by name
	Files           map[string]string // absolute paths of configuration files by name: see WriteFiles
	Platform        map[string]string // what every process gets besides; nil: Inherited(os.Environ())
	LogLevel        string            // of the entrypoint; empty: info
	AllowedHosts    []string          // names by which the entrypoint may be called over HTTP beside those of the loopback interface
	NodeLogLevel    string            // of the nodes; empty: info
}

// Command is how every process of a node, or the entrypoint, is started.
type Command struct {
	Path         string            // program
	Args         []string          // without the program's own name
	Dir          string            // working directory
	Env          map[string]string // the whole environment, but for what Place adds
	Config       string            // content of the file that KRE_CONFIG names
	StartTimeout time.Duration
}

// Node is the command of a node that program runs. The error names a configuration value that is declared and not given.
func (s Settings) Node(node *runtimev1.Node, program Program) (Command, error) {
	env := s.environment()
	if program.Bin != "" {
		env["PATH"] = program.Bin + string(filepath.ListSeparator) + env["PATH"]
	}
	if node.GetRunner() == runtimev1.Runner_RUNNER_PYTHON {
		env["PYTHONUNBUFFERED"] = "1" // what it prints shows at once
		env["PYTHONSAFEPATH"] = "1"   // a user's logging.py or kre/ does not stand in for the real one before the runner is up
	}
	// What the node declares comes before what is passed on, and the platform's own last.
	maps.Copy(env, node.GetEnv())
	for _, declared := range []struct {
		names  []string
		values map[string]string
	}{{node.GetConfigVariables(), s.Variables}, {node.GetConfigFiles(), s.Files}} {
		for _, name := range declared.names {
			value, ok := declared.values[name]
			if !ok {
				return Command{}, fmt.Errorf("node %s needs the configuration value %s, which is not set", node.GetName(), name)
			}
			env[name] = value
		}
	}
	s.own(env)
	if s.NodeLogLevel != "" {
		env["KRE_LOG_LEVEL"] = s.NodeLogLevel
	}
	timeout := DefaultStartTimeout
	if node.GetStartTimeout() != nil {
		timeout = node.GetStartTimeout().AsDuration()
	}
	return Command{
		Path: program.Path, Args: program.Args, Dir: s.Package, Env: env, Config: node.GetConfig(), StartTimeout: timeout,
	}, nil
}

// Entrypoint is the command of the version's entrypoint: path is the program, the addresses (host:port) are where it
// listens for gRPC and for JSON over HTTP.
func (s Settings) Entrypoint(entrypoint *runtimev1.Entrypoint, path, grpcAddr, httpAddr string) Command {
	env := s.environment()
	s.own(env)
	if s.LogLevel != "" {
		env["KRE_LOG_LEVEL"] = s.LogLevel
	}
	env["KRE_GRPC_ADDR"], env["KRE_HTTP_ADDR"] = grpcAddr, httpAddr
	if len(s.AllowedHosts) > 0 {
		env["KRE_ALLOWED_HOSTS"] = strings.Join(s.AllowedHosts, ",")
	}
	return Command{Path: path, Dir: s.Package, Env: env, Config: entrypoint.GetConfig(), StartTimeout: DefaultStartTimeout}
}

func (s Settings) environment() map[string]string {
	if s.Platform == nil {
		return Inherited(os.Environ())
	}
	return maps.Clone(s.Platform)
}

// own sets the variables that are the platform's.
func (s Settings) own(env map[string]string) {
	env["KRE_NATS_URL"] = s.NATSURL
	delete(env, "KRE_NATS_CREDS")
	if s.NATSCredentials != "" {
		env["KRE_NATS_CREDS"] = s.NATSCredentials
	}
	env["KRE_PACKAGE"] = s.Package
	env["KRE_LOG_FORMAT"] = "json"
}

// Print changes whenever the process would run with something else. What a file on disk holds is not in it, the
// configuration aside: add stamps for what is (Program.Stamp, say).
func (c Command) Print(stamps ...string) string {
	sum := sha256.New()
	if err := json.NewEncoder(sum).Encode([]any{c.Path, c.Args, c.Dir, c.Env, c.Config, c.StartTimeout, stamps}); err != nil {
		panic(err) // strings only
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// Place lays down in dir, which is made if need be and belongs to this process alone, what one process of the command
// reads, and returns how it is started; the caller adds how it is looked after. Doing it again is right.
func (c Command) Place(name, dir string) (proc.Spec, error) {
	config := filepath.Join(dir, "config.json")
	if err := writeSecret(config, []byte(c.Config)); err != nil {
		return proc.Spec{}, fmt.Errorf("write the configuration of %s: %w", name, err)
	}
	spec := proc.Spec{
		Name: name, Path: c.Path, Args: c.Args, Dir: c.Dir,
		ReadyFile: filepath.Join(dir, "ready"), StartTimeout: c.StartTimeout,
	}
	for key, value := range c.Env {
		spec.Env = append(spec.Env, key+"="+value)
	}
	spec.Env = append(spec.Env, "KRE_CONFIG="+config, "KRE_READY_FILE="+spec.ReadyFile)
	slices.Sort(spec.Env)
	return spec, nil
}
