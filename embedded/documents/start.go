package documents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"strings"

	"github.com/FerretDB/FerretDB/ferretdb"
	"go.uber.org/zap"
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
	db, err := ferretdb.New(&ferretdb.Config{
		Listener:  ferretdb.ListenerConfig{TCP: "127.0.0.1:0"},
		Logger:    slog.New(&handler{log: log}),
		Handler:   "sqlite",
		SQLiteURL: "file:" + dir + "/",
	})
	if err != nil {
		return nil, errors.Join(err, indexes.close())
	}
	behind, err := url.Parse(db.MongoDBURI())
	if err != nil {
		return nil, err
	}
	running, end := context.WithCancel(context.WithoutCancel(ctx))
	s := &Server{proxy: newProxy(listener, behind.Host, indexes, log), end: end, ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		if err := db.Run(running); err != nil {
			log.Error("the document server ended", zap.Error(err))
		}
	}()
	go s.proxy.serve()
	return s, nil
}
