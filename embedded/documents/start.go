package documents

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/socket"
)

// unreadable are characters of a path that FerretDB, which takes it from a URL and searches it for databases by a
// pattern, would take for something else.
const unreadable = `?#%*[\`

func start(ctx context.Context, dir string, listener net.Listener, log *zap.Logger) (*Server, error) {
	if i := strings.IndexAny(dir, unreadable); i >= 0 {
		return nil, fmt.Errorf("it cannot keep data under a path with a %q in it: %s", dir[i], dir)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	indexes, err := newIndexes(ctx, dir, log)
	if err != nil {
		return nil, err
	}
	behind, err := socket.Address(filepath.Join(dir, runDir, "ferretdb.sock"))
	if err != nil {
		return nil, errors.Join(err, indexes.close())
	}
	db, release, err := openFerret(dir, behind, log)
	if err != nil {
		return nil, errors.Join(err, indexes.close())
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{proxy: newProxy(listener, behind, indexes, log), end: end, ended: make(chan struct{}), close: release}
	go func() {
		defer close(s.ended)
		if err := db.Run(running); err != nil {
			log.Error("the document server ended", zap.Error(err))
		}
	}()
	go s.proxy.serve()
	return s, nil
}

// openFerret has FerretDB listen at a socket. What is returned beside it is called when it has ended.
func openFerret(dir, address string, log *zap.Logger) (db *ferretdb.FerretDB, release func(), err error) {
	path, _ := socket.Path(address)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, nil, err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // a killed one has left it
		return nil, nil, err
	}
	short, release, err := socket.Short(path)
	if err != nil {
		return nil, nil, err
	}
	db, err = ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{Unix: short},
		Logger:    slog.New(&handler{log: log}),
		Handler:   "sqlite",
		SQLiteURL: "file:" + dir + "/",
	})
	if err != nil {
		release()
		return nil, nil, err
	}
	return db, release, nil
}
