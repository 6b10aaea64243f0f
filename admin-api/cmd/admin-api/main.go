// Command admin-api keeps runtimes, versions and their desired states, and serves them over gRPC and REST.
// `admin-api new-keyset FILE` makes the keys that configuration values are encrypted with.
package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/grpcapi"
	"github.com/konstellation-io/kre/admin-api/internal/httpapi"
	"github.com/konstellation-io/kre/admin-api/internal/managerclient"
	"github.com/konstellation-io/kre/admin-api/internal/mongostore"
	"github.com/konstellation-io/kre/admin-api/internal/runtimeclient"
	"github.com/konstellation-io/kre/admin-api/internal/sealed"
	"github.com/konstellation-io/kre/admin-api/internal/versionclient"
	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/socket"
)

type config struct {
	GRPCAddr      string `name:"grpc-addr" help:"Where to serve gRPC: HOST:PORT, unix:PATH for a socket, or several of them, separated by commas." default:"127.0.0.1:7081" env:"KRE_GRPC_ADDR"`
	HTTPAddr      string `name:"http-addr" help:"Address to serve REST on." default:"127.0.0.1:7080" env:"KRE_HTTP_ADDR"`
	MongoURI      string `name:"mongo-uri" help:"MongoDB." required:"" env:"KRE_MONGO_URI" placeholder:"URI" secret:"url"`
	MongoDatabase string `help:"Database in it." default:"kre" env:"KRE_MONGO_DATABASE"`
	ManagerAddr   string `help:"k8s-manager: HOST:PORT, or unix:PATH for a socket." required:"" env:"KRE_MANAGER_ADDR"`
	ServiceToken  string `help:"Token that is sent to the engine's other services." required:"" env:"KRE_SERVICE_TOKEN" secret:""`
	AdminToken    string `help:"Token that callers must send." required:"" env:"KRE_ADMIN_TOKEN" secret:""`
	KeysetFile    string `help:"Keyset that configuration values are encrypted with: admin-api new-keyset FILE makes one." required:"" env:"KRE_KEYSET_FILE" placeholder:"PATH"`
}

const (
	storeWait     = 60 * time.Second // how long the store may take to be there
	callsEndIn    = 10 * time.Second // how long calls, uploads among them, may take when the program is told to end
	headerTimeout = 10 * time.Second
	idleTimeout   = 2 * time.Minute
	maxHeader     = 64 << 10
	// callTimeout bounds what has no deadline of its caller's: a call to a version takes as long as its workflow allows, and
	// whatever else is asked of other services has a shorter one of its own.
	callTimeout = 10 * time.Minute
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "new-keyset" {
		os.Exit(newKeyset(os.Args[2:]))
	}
	boot.Main("admin-api", "Keeps runtimes and versions, and serves them over gRPC and REST. Its other command is `admin-api new-keyset FILE`.", run)
}

// newKeyset returns the exit code.
func newKeyset(args []string) int {
	if len(args) != 1 {
		fmt.Fprintln(os.Stderr, "usage: admin-api new-keyset FILE")
		return boot.ExitUsage
	}
	if err := sealed.NewKeyset(args[0]); err != nil {
		fmt.Fprintln(os.Stderr, "admin-api:", err)
		return boot.ExitFailed
	}
	return boot.ExitOK
}

func run(ctx context.Context, process *boot.Process, config config) error {
	sealer, err := sealed.Open(config.KeysetFile)
	if err != nil {
		return err
	}
	store, err := openStore(ctx, process.Logger, config)
	if err != nil {
		return err
	}
	process.OnStop("store", time.Second, store.Close)
	client := rpc.ClientOptions{Token: config.ServiceToken, Telemetry: process.Telemetry}
	manager, err := rpc.Dial(config.ManagerAddr, client)
	if err != nil {
		return fmt.Errorf("connect to k8s-manager: %w", err)
	}
	process.OnStop("manager", time.Second, func(context.Context) error { return manager.Close() })
	runtimes := runtimeclient.New(func(address string) (*grpc.ClientConn, error) {
		own := client
		own.Token = rpc.TokenAt(config.ServiceToken, address)
		return rpc.Dial(address, own)
	})
	process.OnStop("runtimes", time.Second, func(context.Context) error { return runtimes.Close() })
	calls := versionclient.New()
	process.OnStop("calls", time.Second, func(context.Context) error { calls.Close(); return nil })

	// Replicas share the token, so they know each other's page tokens.
	pageKey := sha256.Sum256([]byte("page tokens " + config.ServiceToken))
	e := engine.New(process.Logger, engine.Ports{
		Store: store, Manager: managerclient.New(manager), Runtimes: runtimes, Calls: calls, Sealer: sealer,
	}, engine.Options{PageKey: pageKey[:]})
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()
	process.OnStop("engine", time.Second, func(context.Context) error { stop(); return <-ended })
	return serve(ctx, process, config, e, store)
}

// openStore waits for a store that is not there yet.
func openStore(ctx context.Context, logger *zap.Logger, config config) (*mongostore.Store, error) {
	ctx, cancel := context.WithTimeout(ctx, storeWait)
	defer cancel()
	for {
		store, err := mongostore.Open(ctx, config.MongoURI, config.MongoDatabase, mongostore.Options{})
		if err == nil || fault.KindOf(err) != fault.Unavailable || ctx.Err() != nil {
			return store, err
		}
		logger.Warn("the store is not there yet", log.Error(err))
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(time.Second):
		}
	}
}

// serve serves both APIs until ctx ends or one of them cannot be served any more.
func serve(ctx context.Context, process *boot.Process, config config, e *engine.Engine, store *mongostore.Store) error {
	grpcListeners, err := listen(config.GRPCAddr)
	if err != nil {
		return fmt.Errorf("listen for gRPC: %w", err)
	}
	httpListener, err := net.Listen("tcp", config.HTTPAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("listen for HTTP: %w", err), grpcListeners.Close())
	}
	access := grpcapi.Administrator(config.AdminToken)
	memory := budget.New(maxMemory)
	server := rpc.NewServer(process.Logger, grpcapi.Bounded(rpc.Options{
		Authenticate: access, Status: grpcapi.Status, Timeout: callTimeout, Budget: memory, Telemetry: process.Telemetry,
	}))
	grpcapi.Register(server, e)
	local, err := server.Local()
	if err != nil {
		return errors.Join(err, grpcListeners.Close(), httpListener.Close())
	}
	rest, err := httpapi.New(local, process.Logger, httpapi.Options{
		Authenticate: access, Ready: store.Ping, Ending: ctx.Done(), Budget: memory, Status: grpcapi.Status,
	})
	if err != nil {
		return errors.Join(err, local.Close(), grpcListeners.Close(), httpListener.Close())
	}
	complaints, err := zap.NewStdLogAt(process.Logger, zap.WarnLevel)
	if err != nil {
		return errors.Join(err, local.Close(), grpcListeners.Close(), httpListener.Close())
	}
	web := &http.Server{
		Handler: rest, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeader,
		ErrorLog: complaints,
	}
	served := make(chan error, 1+len(grpcListeners))
	for _, listener := range grpcListeners {
		go func() { served <- server.Serve(listener) }()
	}
	process.Logger.Info("serving", zap.String("protocol", "http"), zap.Stringer("address", httpListener.Addr()))
	go func() { served <- web.Serve(httpListener) }()
	process.OnStop("grpc", callsEndIn, server.Stop)
	process.OnStop("local", time.Second, func(context.Context) error { return local.Close() })
	process.OnStop("http", callsEndIn, func(ctx context.Context) error {
		if err := web.Shutdown(ctx); err != nil {
			process.Logger.Warn("calls cut off", zap.String("protocol", "http"), log.Error(err))
			return web.Close()
		}
		return nil
	})
	if err := process.Ready(); err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-served:
		if errors.Is(err, http.ErrServerClosed) || errors.Is(err, grpc.ErrServerStopped) {
			return nil
		}
		return fmt.Errorf("serve: %w", err)
	}
}

// listeners are closed together.
type listeners []net.Listener

// listen listens at each of some addresses, which commas separate.
func listen(addresses string) (listeners, error) {
	var all listeners
	for address := range strings.SplitSeq(addresses, ",") {
		one, err := socket.Listen(strings.TrimSpace(address))
		if err != nil {
			return nil, errors.Join(err, all.Close())
		}
		all = append(all, one)
	}
	return all, nil
}

// Close closes all of them.
func (l listeners) Close() error {
	errs := make([]error, 0, len(l))
	for _, one := range l {
		errs = append(errs, one.Close())
	}
	return errors.Join(errs...)
}

// maxMemory bounds what the requests that are being read and answered take, those of both APIs together.
const maxMemory = 64 << 20
