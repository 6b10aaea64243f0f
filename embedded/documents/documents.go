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
	"net/url"
	"os"
	"path/filepath"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/socket"
)

// closeWithin is how long clients may finish what they wait for when the server ends.
const closeWithin = 5 * time.Second

// runDir is the folder of sockets in the directory.
const runDir = "run"

// Options of a server.
type Options struct {
	Dir      string      // where the databases are, one file each; required, made if it is not there
	Addr     string      // unix:PATH to listen on (see kit/socket); empty: run/documents.sock in Dir
	Anywhere bool        // Addr may be host:port; nobody is asked for a password there
	Logger   *zap.Logger // told what goes wrong; nil: nobody is
}

// Server is a running server.
type Server struct {
	proxy *proxy
	end   func()        // tells FerretDB to end
	ended chan struct{} // closed when it has
	close func()        // what is open for FerretDB itself
}

// Start starts a server and returns when it takes connections. The context bounds the start, not the server's life.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("the document server needs a directory for its databases")
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
	listener, err := listen(dir, o)
	if err != nil {
		return nil, fmt.Errorf("cannot start the document server: %w", err)
	}
	s, err := start(ctx, dir, listener, o.Logger)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("cannot start the document server: %w", err), listener.Close())
	}
	return s, nil
}

func listen(dir string, o Options) (_ net.Listener, err error) {
	if o.Addr == "" {
		if o.Addr, err = socket.Address(filepath.Join(dir, runDir, "documents.sock")); err != nil {
			return nil, err
		}
	}
	if _, ok := socket.Path(o.Addr); !ok && !o.Anywhere {
		return nil, fmt.Errorf("%s is no socket (unix:PATH), and the server asks nobody for a password", o.Addr)
	}
	return socket.Listen(o.Addr)
}

// URI is the address for clients, mongodb://host:port/, or mongodb://PATH/ with the path escaped: they connect with a
// socket.Dialer, since the path may be a long one.
func (s *Server) URI() string { return "mongodb://" + url.PathEscape(s.Addr()) + "/" }

// Addr is host and port, or the path of the socket.
func (s *Server) Addr() string { return s.proxy.listener.Addr().String() }

// Close ends the server and returns when everything it held is on disk. What clients wait for is finished first,
// within a few seconds.
func (s *Server) Close() error {
	err := s.proxy.close(closeWithin)
	s.end()
	<-s.ended
	s.close()
	return err
}
