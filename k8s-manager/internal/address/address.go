// Package address is the process that holds a runtime's stable address: two ports that stay the same while versions are
// published over each other, and that outlive k8s-manager. It forwards TCP connections to wherever a file says, and
// answers by itself when that is nowhere. It cuts no connection that is open: those that lead to a version which is no
// longer published are ended by that version's entrypoint, which is told to (GOAWAY, `Connection: close`).
package address

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/boot"
	"github.com/konstellation-io/kre/kit/handover"
	"github.com/konstellation-io/kre/kit/log"
)

// Config says where the address listens and which file it follows.
type Config struct {
	File     string `help:"File that says where the address leads; it is followed." required:"" env:"KRE_ADDRESS_FILE" placeholder:"PATH"`
	AckFile  string `help:"File that says where new connections lead now." required:"" env:"KRE_ADDRESS_ACK_FILE" placeholder:"PATH"`
	GRPCAddr string `name:"grpc-addr" help:"Address of the gRPC port." default:"127.0.0.1:9000" env:"KRE_GRPC_ADDR"`
	HTTPAddr string `name:"http-addr" help:"Address of the HTTP port." default:"127.0.0.1:8080" env:"KRE_HTTP_ADDR"`
}

// goodbye is how long open connections may take to end by themselves when the process is told to end.
const goodbye = 3 * time.Second

// Run holds the address until ctx ends. The process is ready when both ports are open and what the file says is in
// force. While the process stops it takes no connections, and those that are open have 3 seconds to end.
func Run(ctx context.Context, process *boot.Process, config Config) error {
	a := &address{config: config, logger: process.Logger}
	if err := a.open(); err != nil {
		return err
	}
	process.OnStop("address", goodbye+5*time.Second, a.stop)
	a.follow()
	if err := a.acknowledge(); err != nil {
		return err
	}
	process.Logger.Info("listening", zap.Stringer("grpc", a.grpc.listener.Addr()), zap.Stringer("http", a.http.listener.Addr()))
	failed := make(chan error, 2)
	for _, p := range []*port{a.grpc, a.http} {
		a.accepting.Go(func() { failed <- handover.Accept(p.listener, p.take) })
	}
	if err := process.Ready(); err != nil {
		return err
	}
	ticker := time.NewTicker(lookEach)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			return fmt.Errorf("accepting connections: %w", err)
		case <-ticker.C:
			if !a.follow() {
				continue
			}
			if err := a.acknowledge(); err != nil { // it is tried again, and whoever waits for it says so
				process.Logger.Error("saying where the address leads", log.Error(err))
			}
		}
	}
}

// address is a runtime's stable address.
type address struct {
	config     Config
	logger     *zap.Logger
	grpc, http *port
	file       file
	unsaid     bool // the last acknowledgement could not be written
	accepting  sync.WaitGroup
}

func (a *address) open() error {
	grpcListener, err := net.Listen("tcp", a.config.GRPCAddr)
	if err != nil {
		return fmt.Errorf("opening the gRPC port: %w", err)
	}
	httpListener, err := net.Listen("tcp", a.config.HTTPAddr)
	if err != nil {
		return errors.Join(fmt.Errorf("opening the HTTP port: %w", err), grpcListener.Close())
	}
	a.file = file{path: a.config.File}
	a.grpc = newPort(grpcListener, a.logger)
	a.grpc.nowhere = newGRPCNowhere(grpcListener.Addr(), a.grpc.why)
	a.http = newPort(httpListener, a.logger)
	a.http.nowhere = newHTTPNowhere(httpListener.Addr(), a.http.why, a.logger)
	return nil
}

// follow puts in force what the file says now, and reports whether that has to be acknowledged.
func (a *address) follow() bool {
	target, changed, err := a.file.read()
	if err != nil {
		a.logger.Error("reading where the address leads: it goes on as it was", log.Error(err))
		return a.unsaid
	}
	if !changed {
		return a.unsaid
	}
	a.grpc.lead(target.GRPC)
	a.http.lead(target.HTTP)
	a.logger.Info("the address leads elsewhere", zap.String("grpc", target.GRPC), zap.String("http", target.HTTP))
	return true
}

func (a *address) acknowledge() error {
	err := write(a.config.AckFile, Target{GRPC: a.grpc.target(), HTTP: a.http.target()})
	a.unsaid = err != nil
	return err
}

func (a *address) stop(ctx context.Context) error {
	err := errors.Join(a.grpc.listener.Close(), a.http.listener.Close())
	a.accepting.Wait()
	ctx, cancel := context.WithTimeout(ctx, goodbye)
	defer cancel()
	var ports sync.WaitGroup
	for _, p := range []*port{a.grpc, a.http} {
		ports.Go(func() { p.stop(ctx) })
	}
	ports.Wait()
	return err
}
