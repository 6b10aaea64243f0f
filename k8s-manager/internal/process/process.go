// Package process is the lifecycle.Cluster of one machine: a runtime is a directory, a NATS account, a runtime-api process
// and a process that holds its stable address; a version is its entrypoint and its nodes as supervised processes. What
// should be is kept in files, written whole; what is, is the processes, which outlive this program. Each runtime and each
// version is looked after by a loop of its own, which compares the two, does what is missing, and tries again what fails,
// so that a crash at any moment is repaired by the next start.
//
// The files of a runtime, below runtimes/<runtime> of the data directory, are told in the README of the module.
package process

import (
	"context"
	"io"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/krt/archive"
	runtimev1 "github.com/konstellation-io/kre/proto/gen/go/kre/runtime/v1"
)

// Options of a Cluster. All but Log, LogLevel, PrepareAgain, Python and Cache are required.
type Options struct {
	Dir          string   // absolute: where everything is kept
	Libexec      string   // folder with the programs runtime-api, entrypoint and runner
	Address      []string // command, path and arguments, of the process that holds a stable address
	NATSURL      string   // broker
	S3           S3
	ServiceToken string // that those are made of which each runtime-api asks of its callers: see rpc.TokenAt; secret
	// Ports has each runtime-api listen at a port of the loopback interface, which anybody may hold while it is away, in place of
	// a socket in the runtime's folder: for callers who do not see the folder.
	Ports bool
	// AllowedHosts are the names by which versions may be called over HTTP beside those of the loopback interface; none: any, where
	// PublicHost is reached from elsewhere.
	AllowedHosts []string
	PassEnv      []string // names of variables of our own environment that nodes get beside those that any program gets
	// PublicHost is where stable addresses listen. The ports of each runtime are the first pair from the two numbers
	// upwards, as far from the one as from the other, that is free.
	PublicHost                   string
	FirstGRPCPort, FirstHTTPPort int
	LogLevel                     string // of the processes started; empty: info
	// PrepareAgain is how long a version whose processes do not become ready is left alone before what it needs of the
	// broker is made again; 0: 30 s.
	PrepareAgain time.Duration
	Python       string // interpreter; empty: $KRE_PYTHON, else python3 in PATH
	Cache        string // folder of kre's cache; empty: $KRE_CACHE, or kre in the user's cache folder
	Accounts     Accounts
	Dial         func(addr string) (RuntimeAPI, error)
	Log          *zap.Logger
}

// S3 is the object store of packages.
type S3 struct {
	Endpoint  string // http://host:port
	AccessKey string // secret
	SecretKey string // secret
}

// Accounts makes and removes the NATS accounts of runtimes and versions; the key of each is account.seed in a folder.
// fault.Unavailable: the broker does not answer.
type Accounts interface {
	// Ensure makes the broker know the account, whose key is made where it is not there.
	Ensure(ctx context.Context, name, dir string) error
	// User returns the seed of the user that a file has, which is made where it is not there.
	User(file string) (seed string, err error)
	// Revoke has the user that a file has let in no more at the account, and removes the file.
	Revoke(ctx context.Context, name, dir, file string) error
	// Remove removes the account with what is stored in it, and the key.
	Remove(ctx context.Context, name, dir string) error
}

// RuntimeAPI is the service of a runtime. Its errors are faults; fault.Unavailable: it, or what it needs, does not answer.
// Every call is bounded by itself.
type RuntimeAPI interface {
	Broker
	Packages
	Close() error
}

// Broker is what runtime-api does for a version.
type Broker interface {
	// Prepare makes what the version needs of the broker, and lets in who has the keys.
	Prepare(ctx context.Context, request *runtimev1.PrepareVersionRequest) (*runtimev1.PrepareVersionResponse, error)
	// Release says that nothing of it runs.
	Release(ctx context.Context, version string) error
	// Remove removes it, with what is stored.
	Remove(ctx context.Context, version string) error
	// Command tells every running entrypoint what to do: instances answered, and waiting callers wait for an answer of theirs.
	Command(ctx context.Context, version string, command runtimev1.EntrypointCommand) (instances, waiting int, err error)
	// Count counts the messages that are stored and not handled.
	Count(ctx context.Context, version string) (int64, error)
	// Discard drops them.
	Discard(ctx context.Context, version string) error
}

// Packages is what runtime-api stores.
type Packages interface {
	// Fetch hands each file of a version's package to next, which reads all of content. The file's size and SHA-256 are
	// what is claimed.
	Fetch(ctx context.Context, version, digest string, next func(file archive.File, content io.Reader) error) error
	// RemovePackages removes all packages, and where they were kept if nothing else is there.
	RemovePackages(ctx context.Context) error
}
