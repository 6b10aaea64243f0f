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
	http     *http.Server
}

// Limits of a connection. An answer may take as long as the slowest workflow.
const (
	headerTimeout = 10 * time.Second
	bodyTimeout   = 30 * time.Second
	idleTimeout   = 2 * time.Minute
	writeSlack    = time.Minute
	headerBytes   = 64 << 10
)

// New returns a server.
func New(s *service.Service, x *exchange.Exchange, health Health, logger *zap.Logger, options Options) *Server {
	server := &Server{service: s, exchange: x, health: health, logger: logger, options: options, routes: map[string]http.HandlerFunc{}}
	server.errors = connect.NewErrorWriter(connect.WithCodec(codec{name: codecProto}))
	var slowest time.Duration
	for _, rpc := range s.RPCs {
		slowest = max(slowest, rpc.Timeout)
		server.routes[rpc.Path] = server.rpc(rpc)
	}
	server.routes["/"] = server.get(server.index)
	server.routes["/healthz"] = server.get(server.alive)
	server.routes["/readyz"] = server.get(server.ready)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server.http = &http.Server{
		Handler:           server,
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
func (s *Server) Serve(listener net.Listener) error {
	if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Drain tells callers with each answer that their connection ends with it.
func (s *Server) Drain() { s.http.SetKeepAlivesEnabled(false) }

// Stop lets the calls that are being answered finish, until ctx ends.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return s.http.Close()
	}
	return nil
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
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
