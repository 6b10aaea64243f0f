// Command k8s-manager turns what should be of runtimes and versions into what runs, and observes it. It serves
// kre.manager.v1; `k8s-manager address` is the process that holds a runtime's stable address on one machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/k8s-manager/internal/address"
	"github.com/konstellation-io/kre/k8s-manager/internal/grpcapi"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/k8s-manager/internal/natsaccount"
	"github.com/konstellation-io/kre/k8s-manager/internal/process"
	"github.com/konstellation-io/kre/k8s-manager/internal/runtimeclient"
	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/socket"
)

type config struct {
	Cluster          string   `help:"Where runtimes live: process, as processes of this machine." enum:"process" default:"process" env:"KRE_CLUSTER"`
	GRPCAddr         string   `name:"grpc-addr" help:"Address to serve gRPC on: HOST:PORT, or unix:PATH for a socket." default:"127.0.0.1:7082" env:"KRE_GRPC_ADDR"`
	ServiceToken     string   `help:"Token that callers must send, and of which those of the runtimes' services are made." required:"" env:"KRE_SERVICE_TOKEN" secret:""`
	DataDir          string   `help:"Folder where everything about runtimes is kept." required:"" env:"KRE_DATA_DIR" placeholder:"PATH"`
	Libexec          string   `help:"Folder with the programs entrypoint, runner and runtime-api; empty: the one of this program." env:"KRE_LIBEXEC" placeholder:"PATH"`
	NATSURL          string   `name:"nats-url" help:"Broker, in operator mode; several addresses are separated by commas." default:"nats://127.0.0.1:4222" env:"KRE_NATS_URL" placeholder:"URL" secret:"url"`
	NATSOperatorSeed string   `name:"nats-operator-seed-file" help:"File with the seed of the NATS operator." required:"" env:"KRE_NATS_OPERATOR_SEED_FILE" placeholder:"PATH"`
	NATSSystemCreds  string   `name:"nats-system-creds" help:"Credentials file of the NATS system account." required:"" env:"KRE_NATS_SYSTEM_CREDS" placeholder:"PATH"`
	S3Endpoint       string   `name:"s3-endpoint" help:"Object store of packages." required:"" env:"KRE_S3_ENDPOINT" placeholder:"URL"`
	S3AccessKey      string   `name:"s3-access-key" help:"Access key of the object store." env:"KRE_S3_ACCESS_KEY" secret:""`
	S3SecretKey      string   `name:"s3-secret-key" help:"Secret key of the object store." env:"KRE_S3_SECRET_KEY" secret:""`
	PublicHost       string   `help:"Where stable addresses listen." default:"127.0.0.1" env:"KRE_PUBLIC_HOST"`
	FirstGRPCPort    int      `name:"first-grpc-port" help:"Stable addresses get the first free pair of ports from here upwards." default:"9000" env:"KRE_FIRST_GRPC_PORT"`
	FirstHTTPPort    int      `name:"first-http-port" help:"Stable addresses get the first free pair of ports from here upwards." default:"8080" env:"KRE_FIRST_HTTP_PORT"`
	Python           string   `help:"Python that runs Python nodes." default:"python3" env:"KRE_PYTHON"`
	Cache            string   `help:"Folder for what can be made again; empty: kre in the user's cache folder." env:"KRE_CACHE" placeholder:"PATH"`
	RuntimeAPIPorts  bool     `name:"runtime-api-ports" help:"Have the runtimes' services listen at ports of the loopback interface, in place of sockets in the data folder: for an admin-api that does not see the folder." env:"KRE_RUNTIME_API_PORTS"`
	AllowedHosts     []string `help:"Names by which versions may be called over HTTP beside those of the loopback interface: NAME, *.NAME, or * for any. Default: any where stable addresses are reached from elsewhere." env:"KRE_ALLOWED_HOSTS" placeholder:"NAME"`
	PassEnv          []string `help:"Variables of this program's environment that nodes get too, e.g. HTTPS_PROXY." env:"KRE_PASS_ENV" placeholder:"NAME"`
	StopProcesses    bool     `help:"End everything that runs when this program is told to end." env:"KRE_STOP_PROCESSES"`
}

const (
	callsEndWithin     = 5 * time.Second
	processesEndWithin = 40 * time.Second
	// maxRequest bounds one message: room for all configuration values that admin-api takes for a version, 12 MiB.
	maxRequest = 16 << 20
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "address" {
		os.Args = append([]string{os.Args[0] + " address"}, os.Args[2:]...)
		boot.Main("k8s-manager address", "Holds the stable address of a runtime.", address.Run)
		return
	}
	boot.Main("k8s-manager", "Runs runtimes and versions, and tells what becomes of them. Its other command is `k8s-manager address`.", run)
}

func run(ctx context.Context, process *boot.Process, config config) error {
	cluster, err := open(process, config)
	if err != nil {
		return err
	}
	manager := lifecycle.NewManager(cluster, lifecycle.Options{Log: process.Logger})
	watching, stopWatching := context.WithCancel(context.WithoutCancel(ctx))
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		manager.Run(watching)
	}()
	process.OnStop("watch", time.Second, func(context.Context) error { stopWatching(); <-watched; return nil })

	listener, err := socket.Listen(config.GRPCAddr)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	server := rpc.NewServer(process.Logger, rpc.Options{Token: config.ServiceToken, MaxRequestBytes: maxRequest, Telemetry: process.Telemetry})
	grpcapi.Register(server, manager)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	process.OnStop("grpc", callsEndWithin, server.Stop)
	if err := process.Ready(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		if errors.Is(err, grpc.ErrServerStopped) {
			return nil
		}
		return fmt.Errorf("serve gRPC: %w", err)
	}
}

// open opens the cluster and what it needs.
func open(proc *boot.Process, config config) (*process.Cluster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	if config.Libexec == "" {
		config.Libexec = filepath.Dir(self)
	}
	for _, dir := range []*string{&config.Libexec, &config.DataDir} {
		if *dir, err = filepath.Abs(*dir); err != nil {
			return nil, err
		}
	}
	if err := launch.CheckAsked(config.PassEnv); err != nil {
		return nil, err
	}
	connected := make(chan struct{}, 1)
	accounts, err := natsaccount.Open(natsaccount.Options{
		URL: config.NATSURL, OperatorSeedFile: config.NATSOperatorSeed, SystemCreds: config.NATSSystemCreds, Log: proc.Logger,
		Connected: func() {
			select {
			case connected <- struct{}{}:
			default:
			}
		},
	})
	if err != nil {
		return nil, err
	}
	proc.OnStop("nats", time.Second, func(context.Context) error { accounts.Close(); return nil })
	cluster, err := process.Open(process.Options{
		Dir: config.DataDir, Libexec: config.Libexec, Address: []string{self, "address"}, NATSURL: config.NATSURL,
		S3:           process.S3{Endpoint: config.S3Endpoint, AccessKey: config.S3AccessKey, SecretKey: config.S3SecretKey},
		ServiceToken: config.ServiceToken, Ports: config.RuntimeAPIPorts, PassEnv: config.PassEnv, AllowedHosts: config.AllowedHosts, PublicHost: config.PublicHost,
		FirstGRPCPort: config.FirstGRPCPort, FirstHTTPPort: config.FirstHTTPPort,
		Python: config.Python, Cache: config.Cache, Accounts: accounts, Log: proc.Logger,
		Dial: func(addr string) (process.RuntimeAPI, error) {
			return runtimeclient.Dial(addr, rpc.ClientOptions{Token: rpc.TokenAt(config.ServiceToken, addr), Telemetry: proc.Telemetry})
		},
	})
	if err != nil {
		return nil, err
	}
	over := make(chan struct{})
	go func() {
		for {
			select {
			case <-connected:
				cluster.Reassure()
			case <-over:
				return
			}
		}
	}()
	proc.OnStop("processes", processesEndWithin, func(ctx context.Context) error {
		close(over)
		if config.StopProcesses {
			cluster.Stop(ctx)
		} else {
			cluster.Close()
		}
		return nil
	})
	return cluster, nil
}
