// Package documents runs a MongoDB-compatible server (FerretDB over SQLite) inside this process, for programs of this
// machine only.
//
// FerretDB 1 reads a document, changes it in memory and writes it back, so that two updates at once lose one of the two.
// Clients therefore reach it through a proxy that lets one write command at a time through; reads pass freely.
package documents

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"
)

// closeWithin is how long clients may finish what they wait for when the server ends.
const closeWithin = 5 * time.Second

// Options of a server.
type Options struct {
	Dir      string      // where the databases are, one file each; required, made if it is not there
	Addr     string      // host:port to listen on; empty: 127.0.0.1 and any free port
	Anywhere bool        // Addr may be one that other machines reach; nobody is asked for a password
	Logger   *zap.Logger // told what goes wrong; nil: nobody is
}

// Server is a running server.
type Server struct {
	proxy *proxy
	end   func()        // tells FerretDB to end
	ended chan struct{} // closed when it has
}

// Start starts a server and returns when it takes connections. The context bounds the start, not the server's life.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("the document server needs a directory for its databases")
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the directory of the document server: %w", err)
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	listener, err := listen(o)
	if err != nil {
		return nil, fmt.Errorf("cannot start the document server: %w", err)
	}
	s, err := start(ctx, dir, listener, o.Logger)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the document server: %w", err), listener.Close())
	}
	return s, nil
}

func listen(o Options) (net.Listener, error) {
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, err
	}
	if ip := net.ParseIP(host); !o.Anywhere && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("%s is not a loopback address, and the server asks nobody for a password", host)
	}
	return net.Listen("tcp", o.Addr)
}

// URI is the address for clients, mongodb://host:port/.
func (s *Server) URI() string { return "mongodb://" + s.Addr() + "/" }

// Addr is host and port.
func (s *Server) Addr() string { return s.proxy.listener.Addr().String() }

// Close ends the server and returns when everything it held is on disk. What clients wait for is finished first,
// within a few seconds.
func (s *Server) Close() error {
	err := s.proxy.close(closeWithin)
	s.end()
	<-s.ended
	return err
}
