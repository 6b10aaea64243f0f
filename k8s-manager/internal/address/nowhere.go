package address

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/handover"
	"github.com/konstellation-io/kre/kit/log"
)

const (
	// stay is how long a caller stays connected to us before it has to look again whether somebody answers.
	stay = 10 * time.Second
	// finish is how long an answer of ours may take on its way.
	finish = 5 * time.Second
)

// newGRPCNowhere answers every call with UNAVAILABLE and a sentence.
func newGRPCNowhere(address net.Addr, why func() string) nowhere {
	return handover.NewGRPC(address, finish, func() *grpc.Server {
		return grpc.NewServer(
			grpc.UnknownServiceHandler(func(any, grpc.ServerStream) error { return status.Error(codes.Unavailable, why()) }),
			grpc.ConnectionTimeout(finish),
			grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: time.Second, PermitWithoutStream: true}),
			grpc.KeepaliveParams(keepalive.ServerParameters{MaxConnectionAge: stay, MaxConnectionAgeGrace: finish}),
		)
	})
}

// httpNowhere answers every request with 503 and a sentence, and closes its connection.
type httpNowhere struct {
	listener *handover.Listener
	server   *http.Server
	served   chan struct{}
}

func newHTTPNowhere(address net.Addr, why func() string, logger *zap.Logger) nowhere {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	n := &httpNowhere{listener: handover.NewListener(address), served: make(chan struct{})}
	n.server = &http.Server{
		Protocols:         protocols,
		ReadHeaderTimeout: finish,
		IdleTimeout:       finish,
		ErrorLog:          zap.NewStdLog(logger),
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			// As the entrypoints put their own errors.
			body, err := json.Marshal(map[string]string{"code": "unavailable", "message": why()})
			if err != nil { // it is text
				logger.Error("writing an answer", log.Error(err))
			}
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Connection", "close")
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			if _, err := w.Write(append(body, '\n')); err != nil {
				logger.Debug("writing an answer", log.Error(err)) // the caller is gone
			}
		}),
	}
	go func() {
		defer close(n.served)
		if err := n.server.Serve(n.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
			logger.Error("answering in place of a version", log.Error(err))
		}
	}()
	return n
}

// Hand takes a connection.
func (n *httpNowhere) Hand(conn net.Conn) {
	if err := n.listener.Hand(conn); err != nil {
		_ = conn.Close() // it ends: there is nobody to tell
	}
}

// Move has nothing to do: no connection outlives its first answer.
func (n *httpNowhere) Move() {}

// Stop ends it.
func (n *httpNowhere) Stop(ctx context.Context) {
	if err := n.server.Shutdown(ctx); err != nil {
		_ = n.server.Close()
	}
	<-n.served
}
