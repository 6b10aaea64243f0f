package address

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
)

const (
	// dialFor is how long a target that does not answer is tried, so that a caller does not notice a restart.
	dialFor     = 10 * time.Second
	dialTimeout = time.Second
	firstPause  = 10 * time.Millisecond
	lastPause   = 200 * time.Millisecond
)

// nowhere answers callers when there is nobody to forward them to.
type nowhere interface {
	// Hand takes a connection, and answers whatever comes over it.
	Hand(conn net.Conn)
	// Move leads the connections that were handed over to their end: whoever connects again finds somebody.
	Move()
	Stop(ctx context.Context)
}

// port is one of the two ports of an address.
type port struct {
	listener net.Listener
	logger   *zap.Logger
	nowhere  nowhere
	patience time.Duration // dialFor, but in tests

	// Held for reading while a connection is led somewhere. So, when lead returns, no connection is on its way to
	// where the port led before.
	leading sync.RWMutex
	to      string // host:port; empty: nowhere

	mu      sync.Mutex
	open    map[net.Conn]struct{}
	ending  bool
	over    chan struct{} // closed when it ends: nobody waits for a target any more
	forward sync.WaitGroup
}

func newPort(listener net.Listener, logger *zap.Logger) *port {
	return &port{listener: listener, logger: logger, patience: dialFor, open: make(map[net.Conn]struct{}), over: make(chan struct{})}
}

// lead has new connections go to target. Those that are open stay as they are, except the ones that led nowhere.
func (p *port) lead(target string) {
	p.leading.Lock()
	defer p.leading.Unlock()
	if p.to == target {
		return
	}
	p.to = target
	if target != "" {
		p.nowhere.Move()
	}
}

func (p *port) target() string {
	p.leading.RLock()
	defer p.leading.RUnlock()
	return p.to
}

// why says why nobody else answers a caller.
func (p *port) why() string {
	if p.target() == "" {
		return "no version is published"
	}
	return "the published version does not answer"
}

// take leads a connection where it belongs, without waiting.
func (p *port) take(client net.Conn) {
	p.forward.Go(func() {
		target, err := p.reach(client)
		switch {
		case err != nil:
			_ = client.Close() // it ends: there is nobody to tell
		case target != nil:
			p.join(client, target)
		}
	})
}

var errOver = errors.New("the address ends")

// reach connects to the target, or hands the client to whoever answers in its place, and then returns nil.
func (p *port) reach(client net.Conn) (target net.Conn, err error) {
	begun := time.Now()
	for pause := firstPause; ; pause = min(2*pause, lastPause) {
		target, to, err := p.tryReach(client, time.Since(begun) >= p.patience)
		if err == nil {
			return target, nil
		}
		if time.Since(begun) >= p.patience {
			p.logger.Warn("the published version does not answer", zap.String("address", to), log.Error(err))
		}
		select {
		case <-time.After(pause):
		case <-p.over:
			return nil, errOver
		}
	}
}

// tryReach makes one attempt. It is over, whether or not the target answers, when it is the last one.
func (p *port) tryReach(client net.Conn, last bool) (target net.Conn, to string, err error) {
	p.leading.RLock()
	defer p.leading.RUnlock()
	if p.to == "" || last {
		p.nowhere.Hand(client)
		return nil, p.to, nil
	}
	target, err = net.DialTimeout("tcp", p.to, dialTimeout)
	return target, p.to, err
}

// join passes bytes both ways until both sides have ended.
func (p *port) join(client, target net.Conn) {
	if !p.keep(client, target) {
		return
	}
	defer p.drop(client, target)
	var back sync.WaitGroup
	back.Go(func() { pass(client, target) })
	pass(target, client)
	back.Wait()
}

// pass copies from one side to the other. The end of the one is told to the other; a failure ends both.
func pass(to, from net.Conn) {
	_, err := io.Copy(to, from) // between TCP connections the kernel does it
	if err == nil {
		err = closeWrite(to)
	}
	if err != nil { // one of them is broken: neither is of use any more
		_, _ = to.Close(), from.Close()
	}
}

func closeWrite(conn net.Conn) error {
	if half, ok := conn.(interface{ CloseWrite() error }); ok {
		return half.CloseWrite()
	}
	return conn.Close()
}

// keep notes connections that are open. At the end there are none to come: it closes them and returns false.
func (p *port) keep(connections ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range connections {
		if p.ending {
			_ = conn.Close()
			continue
		}
		p.open[conn] = struct{}{}
	}
	return !p.ending
}

func (p *port) drop(connections ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, conn := range connections {
		_ = conn.Close() // mostly closed already
		delete(p.open, conn)
	}
}

// stop waits for the open connections to end, until ctx ends, and then ends them.
func (p *port) stop(ctx context.Context) {
	close(p.over)
	var all sync.WaitGroup
	all.Go(func() { p.nowhere.Stop(ctx) })
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.forward.Wait()
	}()
	select {
	case <-done:
	case <-ctx.Done():
		p.mu.Lock()
		p.ending = true
		for conn := range p.open {
			_ = conn.Close()
		}
		p.mu.Unlock()
		<-done
	}
	all.Wait()
}
