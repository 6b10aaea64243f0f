// Package objects runs an S3 server (versitygw over a directory) inside this process, for programs of this machine only.
package objects

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"

	"go.uber.org/zap"
)

// Options of a server.
type Options struct {
	Dir       string      // where buckets and objects are; required, made if it is not there
	Addr      string      // host:port to listen on; empty: 127.0.0.1 and any free port
	Anywhere  bool        // Addr may be one that other machines reach
	AccessKey string      // of the one account there is; required
	SecretKey string      // required
	Logger    *zap.Logger // told what goes wrong; nil: nobody is
}

// Server is a running server.
type Server struct {
	gateway *gateway
	addr    string
	before  string // the working directory before the start
}

// running is the one thing of this package that belongs to the process, as its working directory does.
var running atomic.Bool

// Start starts a server and returns when it takes connections. The context bounds the start, not the server's life.
//
// versitygw works on paths relative to the process's working directory. Start therefore changes that to a folder of Dir
// until Close, and refuses to run twice at a time: a program makes its own paths absolute before.
func Start(ctx context.Context, o Options) (*Server, error) {
	if o.Dir == "" {
		return nil, errors.New("the object server needs a directory for its buckets")
	}
	if o.AccessKey == "" || o.SecretKey == "" {
		return nil, errors.New("the object server needs an access key and a secret key")
	}
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	if o.Logger == nil {
		o.Logger = zap.NewNop()
	}
	host, _, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, fmt.Errorf("cannot start the object server: %w", err)
	}
	if ip := net.ParseIP(host); !o.Anywhere && (ip == nil || !ip.IsLoopback()) {
		return nil, fmt.Errorf("cannot start the object server on %s: it is not a loopback address", host)
	}
	if !running.CompareAndSwap(false, true) {
		return nil, errors.New("an object server runs in this process already, and there can be one only")
	}
	s, err := start(ctx, o)
	if err != nil {
		running.Store(false)
		return nil, fmt.Errorf("cannot start the object server: %w", err)
	}
	return s, nil
}

func start(ctx context.Context, o Options) (*Server, error) {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	before, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	g, addr, err := open(ctx, dir, o)
	if err != nil {
		return nil, errors.Join(err, os.Chdir(before))
	}
	return &Server{gateway: g, addr: addr, before: before}, nil
}

// URL is the address for clients, http://host:port.
func (s *Server) URL() string { return "http://" + s.addr }

// Addr is host and port.
func (s *Server) Addr() string { return s.addr }

// Close ends the server, lets running requests finish within a few seconds, and restores the working directory.
func (s *Server) Close() error {
	defer running.Store(false)
	return errors.Join(s.gateway.close(), os.Chdir(s.before))
}
