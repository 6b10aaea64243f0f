package objects

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/pkg/xattr"
	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/backend/meta"
	"github.com/versity/versitygw/backend/posix"
	"github.com/versity/versitygw/s3api"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3api/utils"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/ports"
)

const (
	region = "us-east-1" // what clients assume that are told nothing

	maxConnections = 4096
	maxRequests    = 1024
	maxParts       = 10000
	maxCopy        = 5 << 30 // bytes of an object that is copied by one request; S3's own limit
)

// gateway is versitygw over a directory.
type gateway struct {
	backend *posix.Posix
	server  *s3api.S3ApiServer
	ended   chan struct{} // closed when it serves no more
	failure error         // what it ended with, once it has
	closing atomic.Bool   // it was told to end
}

// open changes the working directory to that of the buckets, and serves them.
func open(ctx context.Context, dir string, o Options) (*gateway, string, error) {
	buckets := filepath.Join(dir, "buckets")
	if err := os.MkdirAll(buckets, 0o700); err != nil {
		return nil, "", err
	}
	store, err := metadata(buckets, filepath.Join(dir, "metadata"))
	if err != nil {
		return nil, "", err
	}
	options := posix.PosixOpts{CopyObjectThreshold: maxCopy}
	options.SetNewDirPerm(0o700)
	options.SetNewFilePerm(0o600)
	backend, err := posix.New(buckets, store, options)
	if err != nil {
		return nil, "", err
	}
	utils.SetBucketNameValidationStrict(true)
	g, addr, err := serve(ctx, backend, o)
	if err != nil {
		backend.Shutdown()
		return nil, "", err
	}
	return g, addr, nil
}

// metadata keeps what is known of an object in its extended attributes or, where the file system has none, in files
// beside. What was chosen once stays: objects without their metadata are lost.
func metadata(buckets, beside string) (meta.MetadataStorer, error) {
	if _, err := os.Stat(beside); err == nil {
		return meta.NewSideCar(beside)
	}
	const probe = "user.kre.probe"
	err := xattr.Set(buckets, probe, []byte("1"))
	if err == nil {
		return meta.XattrMeta{}, xattr.Remove(buckets, probe)
	}
	if err := os.Mkdir(beside, 0o700); err != nil {
		return nil, err
	}
	return meta.NewSideCar(beside)
}

// attempts is how often another free port is tried after somebody was faster.
const attempts = 20

// serve returns when the server takes connections. It wants to listen by itself and does not tell on which port: where
// any will do, one is looked for that is free.
func serve(ctx context.Context, backend *posix.Posix, o Options) (*gateway, string, error) {
	host, port, err := net.SplitHostPort(o.Addr)
	if err != nil {
		return nil, "", err
	}
	if port != "0" {
		g, err := listen(ctx, backend, o.Addr, o)
		return g, o.Addr, err
	}
	for range attempts {
		var free int
		if free, err = ports.Pick(nil); err != nil {
			return nil, "", err
		}
		addr := ports.Address(host, free)
		var g *gateway
		if g, err = listen(ctx, backend, addr, o); err == nil {
			return g, addr, nil
		}
		if !errors.Is(err, syscall.EADDRINUSE) {
			break
		}
	}
	return nil, "", err
}

func listen(ctx context.Context, backend *posix.Posix, addr string, o Options) (*gateway, error) {
	root := auth.Account{Access: o.AccessKey, Secret: o.SecretKey, Role: auth.RoleAdmin}
	listening := make(chan struct{})
	server, err := s3api.New(backend, middlewares.RootUserConfig{Access: o.AccessKey, Secret: o.SecretKey}, region,
		auth.NewIAMServiceSingle(root), nil, nil, nil, nil,
		s3api.WithQuiet(), s3api.WithKeepAlive(), s3api.WithDisableACL(), s3api.WithMpMaxParts(maxParts),
		s3api.WithConcurrencyLimiter(maxConnections, maxRequests),
		s3api.WithOnListen(func() { close(listening) }))
	if err != nil {
		return nil, err
	}
	g := &gateway{backend: backend, server: server, ended: make(chan struct{})}
	go func() {
		defer close(g.ended)
		g.failure = server.ServeMultiPort([]string{addr})
		select {
		case <-listening:
			if !g.closing.Load() {
				o.Logger.Error("the object server ended", zap.Error(g.failure))
			}
		default: // who waits for it is told
		}
	}()
	select {
	case <-listening:
		return g, nil
	case <-g.ended:
		if g.failure == nil {
			return nil, errors.New("it ended at once")
		}
		return nil, g.failure
	case <-ctx.Done():
		g.closing.Store(true)
		return nil, errors.Join(ctx.Err(), g.shutDown())
	}
}

func (g *gateway) close() error {
	g.closing.Store(true)
	err := g.shutDown()
	g.backend.Shutdown()
	return err
}

// shutDown returns when the server has ended. It says that it listens a moment before it can be told to end, and passes
// over what it is told earlier: it is told again.
func (g *gateway) shutDown() error {
	for {
		err := g.server.ShutDown()
		if err != nil {
			<-g.ended
			return err
		}
		select {
		case <-g.ended:
			return nil
		case <-time.After(toldAgain):
		}
	}
}

const toldAgain = 50 * time.Millisecond
