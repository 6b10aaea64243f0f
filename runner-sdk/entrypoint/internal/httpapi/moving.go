package httpapi

import (
	"context"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// connectionAge is how old a connection becomes, so that connections spread over new replicas.
const connectionAge = 5 * time.Minute

// connections knows which connections are open. One that is to end is told so with its next answer (`Connection: close`,
// which HTTP/2 turns into GOAWAY) and not before: a connection that is closed while it is idle may fail the request that
// its client is just sending.
type connections struct {
	generation atomic.Int64 // that of new connections

	mu   sync.Mutex
	open map[net.Conn]*connection
}

// connection is one of them.
type connection struct {
	generation int64
	since      time.Time
}

type connectionKey struct{}

func newConnections() *connections { return &connections{open: make(map[net.Conn]*connection)} }

// begin is http.Server's ConnContext.
func (c *connections) begin(ctx context.Context, conn net.Conn) context.Context {
	begun := &connection{generation: c.generation.Load(), since: time.Now()}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.open[conn] = begun
	return context.WithValue(ctx, connectionKey{}, begun)
}

// changed is http.Server's ConnState.
func (c *connections) changed(conn net.Conn, state http.ConnState) {
	if state != http.StateClosed && state != http.StateHijacked {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, conn)
}

// move has the connections that are open now end with their next answer.
func (c *connections) move() { c.generation.Add(1) }

// moving is how many connections that were open at the last move have not ended.
func (c *connections) moving() int {
	current := c.generation.Load()
	c.mu.Lock()
	defer c.mu.Unlock()
	count := 0
	for _, each := range c.open {
		if each.generation < current {
			count++
		}
	}
	return count
}

// over reports whether the connection of a request ends with its answer.
func (c *connections) over(ctx context.Context) bool {
	of, known := ctx.Value(connectionKey{}).(*connection)
	return known && (of.generation < c.generation.Load() || time.Since(of.since) > connectionAge)
}

// leaver writes an answer, and says at the last moment that its connection ends, if it does.
type leaver struct {
	http.ResponseWriter
	connections *connections
	request     *http.Request
	begun       bool
}

// WriteHeader begins the answer.
func (l *leaver) WriteHeader(code int) {
	if !l.begun {
		l.begun = true
		if l.connections.over(l.request.Context()) {
			l.Header().Set("Connection", "close")
		}
	}
	l.ResponseWriter.WriteHeader(code)
}

// Write begins the answer, if that is still to be done.
func (l *leaver) Write(b []byte) (int, error) {
	if !l.begun {
		l.WriteHeader(http.StatusOK)
	}
	return l.ResponseWriter.Write(b)
}

// Flush begins the answer, and has what is there leave at once.
func (l *leaver) Flush() {
	if !l.begun {
		l.WriteHeader(http.StatusOK)
	}
	if flusher, ok := l.ResponseWriter.(http.Flusher); ok {
		flusher.Flush()
	}
}

// Unwrap is for http.ResponseController.
func (l *leaver) Unwrap() http.ResponseWriter { return l.ResponseWriter }
