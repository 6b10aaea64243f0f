// Package httpapi serves the rpcs of a version over HTTP: as plain JSON, Connect, gRPC-Web and gRPC, all under the same
// paths. Beside them it lists the rpcs, hands out the .proto and tells its health.
package httpapi

import (
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"time"

	"connectrpc.com/connect"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
)

// Options of a server.
type Options struct {
	MaxRequestBytes int // of a body; required
	Hosts           Hosts
}

// Health says how the process is.
type Health interface {
	Ready() bool
	BrokerConnected() bool
}

// Server serves one version.
type Server struct {
	service  *service.Service
	exchange *exchange.Exchange
	health   Health
	logger   *zap.Logger
	options  Options
	errors   *connect.ErrorWriter
	routes   map[string]http.HandlerFunc
	open     *connections
	listener net.Listener
	http     *http.Server
}

// Limits of a connection. An answer may take as long as the slowest workflow.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 5 * time.Minute // longer than clients keep theirs: who closes first cannot fail a request of the other
	writeSlack    = time.Minute
	headerBytes   = 64 << 10
)

// Where probes ask. They call by whatever address they have, and learn nothing of the version.
const (
	alivePath = "/healthz"
	readyPath = "/readyz"
)

// New returns a server for the connections of listener.
func New(listener net.Listener, s *service.Service, x *exchange.Exchange, health Health, logger *zap.Logger, options Options) *Server {
	server := &Server{
		service: s, exchange: x, health: health, logger: logger, options: options, routes: map[string]http.HandlerFunc{},
		open: newConnections(), listener: listener,
	}
	server.errors = connect.NewErrorWriter(connect.WithCodec(codec{name: codecProto}))
	var slowest time.Duration
	for _, rpc := range s.RPCs {
		slowest = max(slowest, rpc.Timeout)
		server.routes[rpc.Path] = server.rpc(rpc)
	}
	server.routes["/"] = server.get(server.index)
	server.routes[alivePath] = server.get(server.alive)
	server.routes[readyPath] = server.get(server.ready)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server.http = &http.Server{
		Handler:           server,
		ConnContext:       server.open.begin,
		ConnState:         server.open.changed,
		Protocols:         protocols,
		ReadHeaderTimeout: headerTimeout,
		IdleTimeout:       idleTimeout,
		WriteTimeout:      headerTimeout + bodyTimeout + slowest + writeSlack,
		MaxHeaderBytes:    headerBytes,
		ErrorLog:          zap.NewStdLog(logger),
	}
	return server
}

// Serve serves until Stop.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Move leads the connections that are open to their end, in order: each ends with its next answer. New ones are served as
// before.
func (s *Server) Move() { s.open.move() }

// Moving is how many connections that were open at the last move have not ended.
func (s *Server) Moving() int { return s.open.moving() }

// Stop lets the calls that are being answered finish, until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w = &leaver{ResponseWriter: w, connections: s.open, request: r}
	if !s.options.Hosts.answers(r.Host) && r.URL.Path != alivePath && r.URL.Path != readyPath {
		s.wrongHost(w, r)
		return
	}
	if route, known := s.routes[r.URL.Path]; known {
		route(w, r)
		return
	}
	if path, ok := strings.CutPrefix(r.URL.Path, protosPrefix); ok {
		s.get(func(w http.ResponseWriter, r *http.Request) { s.source(w, r, path) })(w, r)
		return
	}
	s.notFound(w, r)
}

// get lets a handler see GET and HEAD only.
func (s *Server) get(handler http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			s.wrongMethod(w, r, "GET, HEAD")
			return
		}
		handler(w, r)
	}
}
