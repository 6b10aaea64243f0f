package handover

import (
	"context"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
)

// GRPC serves gRPC by one server after another.
type GRPC struct {
	address  net.Addr
	fresh    func() *grpc.Server
	patience time.Duration

	mu      sync.Mutex
	current *generation
	before  []*generation // those that are being ended
	stopped bool
	ending  sync.WaitGroup
}

// generation is a server with the connections that it was handed.
type generation struct {
	server   *grpc.Server
	listener *Listener
	served   chan struct{} // closed when it accepts no more
}

// NewGRPC serves with a first server that fresh makes. Address is what its connections came in on. A server that Move
// brings to its end is given patience for the calls that it is still answering.
func NewGRPC(address net.Addr, patience time.Duration, fresh func() *grpc.Server) *GRPC {
	g := &GRPC{address: address, fresh: fresh, patience: patience}
	g.current = g.generation()
	return g
}

func (g *GRPC) generation() *generation {
	n := &generation{server: g.fresh(), listener: NewListener(g.address), served: make(chan struct{})}
	go func() {
		defer close(n.served)
		// It ends when its listener is closed, and has nothing else to tell.
		_ = n.server.Serve(n.listener)
	}()
	return n
}

// Hand passes a connection to the current server. It is closed if there is none any more.
func (g *GRPC) Hand(conn net.Conn) {
	for {
		g.mu.Lock()
		current, stopped := g.current, g.stopped
		g.mu.Unlock()
		if err := current.listener.Hand(conn); err == nil {
			return
		}
		if stopped {
			_ = conn.Close() // there is nobody to tell
			return
		}
	}
}

// Move goes on with a fresh server. Connections that are open now are told to go (GOAWAY) and end when their last call
// is answered, at the latest when the patience is over. Move does not wait for that.
func (g *GRPC) Move() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return
	}
	old := g.current
	g.current = g.generation()
	g.before = append(g.before, old)
	_ = old.listener.Close() // it never fails
	g.ending.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), g.patience)
		defer cancel()
		old.end(ctx)
		g.forget(old)
	})
}

func (g *GRPC) forget(old *generation) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for i, each := range g.before {
		if each == old {
			g.before = append(g.before[:i], g.before[i+1:]...)
			return
		}
	}
}

// Moving is how many connections that were open at the last Move have not ended.
func (g *GRPC) Moving() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	open := 0
	for _, each := range g.before {
		open += each.listener.Open()
	}
	return open
}

// Stop lets the calls that are being answered finish, until ctx ends, and ends every connection. Nothing is served
// afterwards.
func (g *GRPC) Stop(ctx context.Context) {
	g.mu.Lock()
	g.stopped = true
	all := append([]*generation{g.current}, g.before...)
	g.mu.Unlock()
	var ending sync.WaitGroup
	for _, each := range all {
		ending.Go(func() {
			_ = each.listener.Close() // it never fails
			each.end(ctx)
		})
	}
	ending.Wait()
	g.ending.Wait()
}

// end brings a server whose listener is closed to its end, so that nothing is lost: every connection that it was handed
// has begun before it is told to stop.
func (n *generation) end(ctx context.Context) {
	<-n.served
	n.listener.Settle()
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.server.GracefulStop()
	}()
	select {
	case <-done:
	case <-ctx.Done(): // somebody watches the health, say
		n.server.Stop()
		<-done
	}
}
