package bench

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/health"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
	"github.com/konstellation-io/kre/admin-api/internal/grpcapi"
	"github.com/konstellation-io/kre/admin-api/internal/httpapi"
	"github.com/konstellation-io/kre/admin-api/internal/mongostore"
	"github.com/konstellation-io/kre/embedded/documents"
	"github.com/konstellation-io/kre/kit/heap"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/rpc"
)

const (
	token    = "open-sesame"
	database = "kre"
	patience = time.Minute
	// heapFloor is that of the programs.
	heapFloor = 32 << 20
)

// Addresses are what a process that serves tells of itself.
type Addresses struct {
	URI  string // of the store
	GRPC string // host:port
	HTTP string // http://host:port
}

// started starts this program again, to serve until the benchmark ends.
func started(b *testing.B, what string, args ...string) Addresses {
	b.Helper()
	self, err := os.Executable()
	require.NoError(b, err)
	cmd := exec.Command(self, append([]string{"serve", what}, args...)...)
	cmd.Stderr = os.Stderr
	stdin, err := cmd.StdinPipe()
	require.NoError(b, err)
	stdout, err := cmd.StdoutPipe()
	require.NoError(b, err)
	require.NoError(b, cmd.Start())
	b.Cleanup(func() {
		require.NoError(b, stdin.Close())
		require.NoError(b, cmd.Wait())
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	require.NoError(b, err)
	var at Addresses
	require.NoError(b, json.Unmarshal(line, &at))
	return at
}

// serve is what the process does: it tells its addresses and serves until its standard input ends.
func serve(what string, args []string) error {
	switch what {
	case "documents": // a directory
		server, err := documents.Start(context.Background(), documents.Options{Dir: args[0]})
		if err != nil {
			return err
		}
		return errors.Join(tell(Addresses{URI: server.URI()}), server.Close())
	case "bare":
		return serveBare()
	case "stored": // a URI
		defer heap.Floor(heapFloor)()
		store, err := mongostore.Open(context.Background(), args[0], database, mongostore.Options{})
		if err != nil {
			return err
		}
		return errors.Join(serveAPI(store), store.Close(context.Background()))
	case "instant": // how many runtimes
		defer heap.Floor(heapFloor)()
		runtimes, err := strconv.Atoi(args[0])
		if err != nil {
			return err
		}
		store := enginetest.NewMemory()
		if err := fill(context.Background(), store, 0, runtimes); err != nil {
			return err
		}
		return serveAPI(store)
	}
	return fmt.Errorf("nothing is called %q", what)
}

// serveBare answers a call of each protocol with next to nothing: what the machine and the protocols cost by themselves.
func serveBare() error {
	grpcListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	httpListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := grpc.NewServer()
	healthgrpc.RegisterHealthServer(server, health.NewServer())
	web := &http.Server{ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("{}")) // who does not get it fails
	})}
	go func() { _ = server.Serve(grpcListener) }() // ends below
	go func() { _ = web.Serve(httpListener) }()    // likewise
	told := tell(Addresses{GRPC: grpcListener.Addr().String(), HTTP: "http://" + httpListener.Addr().String()})
	server.Stop()
	return errors.Join(told, web.Close())
}

func tell(at Addresses) error {
	if err := json.NewEncoder(os.Stdout).Encode(at); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, os.Stdin)
	return err
}

// serveAPI is the program with a manager in memory: what the manager does is not what is measured, and the real one would
// start a process for each runtime. Every call has its line in a log.
func serveAPI(store engine.Store) error {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	logger, err := log.NewWriter(log.Flags{}, null)
	if err != nil {
		return err
	}
	world := enginetest.NewWorld()
	e := engine.New(logger, engine.Ports{Store: store, Manager: world, Runtimes: world, Calls: world, Sealer: enginetest.Seal{}},
		engine.Options{PageKey: []byte("key")})
	running, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()

	access := grpcapi.Administrator(token)
	server := rpc.NewServer(logger, rpc.Options{Authenticate: access, Status: grpcapi.Status})
	grpcapi.Register(server, e)
	local, err := server.Local()
	if err != nil {
		return err
	}
	rest, err := httpapi.New(local, logger, httpapi.Options{Authenticate: access})
	if err != nil {
		return err
	}
	grpcListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	httpListener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	web := &http.Server{Handler: rest, ReadHeaderTimeout: patience}
	go func() { _ = server.Serve(grpcListener) }() // ends below
	go func() { _ = web.Serve(httpListener) }()    // likewise
	told := tell(Addresses{GRPC: grpcListener.Addr().String(), HTTP: "http://" + httpListener.Addr().String()})
	stop()
	ending, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	return errors.Join(told, <-ended, web.Close(), local.Close(), server.Stop(ending))
}
