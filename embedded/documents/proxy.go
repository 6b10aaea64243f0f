package documents

import (
	"bufio"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"go.uber.org/zap"
)

// proxy hands messages of clients to FerretDB, one write command at a time.
type proxy struct {
	listener net.Listener
	behind   string // host:port of FerretDB
	log      *zap.Logger
	turn     chan struct{} // holds the token of who may write
	running  sync.WaitGroup

	mu      sync.Mutex
	closing bool
	open    map[*session]struct{}
}

// session is one client's connection and its own one to FerretDB.
type session struct {
	client, server net.Conn
}

func newProxy(listener net.Listener, behind string, log *zap.Logger) *proxy {
	p := &proxy{
		listener: listener, behind: behind, log: log,
		turn: make(chan struct{}, 1), open: map[*session]struct{}{},
	}
	p.running.Add(1) // serve itself
	return p
}

func (p *proxy) serve() {
	defer p.running.Done()
	for {
		client, err := p.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // e.g. no file descriptors left: others end, and make room
			p.log.Warn("cannot take a connection", zap.Error(err))
			time.Sleep(10 * time.Millisecond)
			continue
		}
		server, err := net.Dial("tcp", p.behind)
		if err != nil {
			p.log.Warn("cannot reach the document server", zap.Error(err))
			_ = client.Close()
			continue
		}
		s := &session{client: client, server: server}
		if !p.enter(s) {
			s.close()
			continue
		}
		go func() {
			defer p.leave(s)
			if err := p.talk(s); err != nil && !ended(err) {
				p.log.Warn("a client's connection ended", zap.Error(err))
			}
		}()
	}
}

// talk hands on requests and their answers until one side ends.
func (p *proxy) talk(s *session) error {
	fromClient, fromServer := bufio.NewReader(s.client), bufio.NewReader(s.server)
	for {
		r, err := readRequest(fromClient)
		if err != nil {
			return err
		}
		if err := p.exchange(s, r, fromClient, fromServer); err != nil {
			return err
		}
	}
}

// exchange hands on one request and its answer. A write holds the turn until FerretDB has answered.
func (p *proxy) exchange(s *session, r request, fromClient, fromServer *bufio.Reader) error {
	if r.write {
		p.turn <- struct{}{}
		release := sync.OnceFunc(func() { <-p.turn })
		defer release()
	}
	return r.forward(s, fromClient, fromServer)
}

func (p *proxy) enter(s *session) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closing {
		return false
	}
	p.open[s] = struct{}{}
	p.running.Add(1)
	return true
}

func (p *proxy) leave(s *session) {
	s.close()
	p.mu.Lock()
	delete(p.open, s)
	p.mu.Unlock()
	p.running.Done()
}

// close takes no more requests, lets those that were taken be answered within the limit, and ends the connections.
func (p *proxy) close(limit time.Duration) error {
	err := p.listener.Close()
	p.mu.Lock()
	p.closing = true
	for s := range p.open {
		_ = s.client.SetReadDeadline(time.Unix(1, 0)) // who is waiting for a request stops waiting
	}
	p.mu.Unlock()

	cut := time.AfterFunc(limit, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		for s := range p.open {
			s.close()
		}
	})
	p.running.Wait()
	cut.Stop()
	return err
}

func (s *session) close() {
	_ = s.client.Close()
	_ = s.server.Close()
}

// ended says whether a connection ended as connections do.
func ended(err error) bool {
	var timeout net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, errReset) ||
		errors.As(err, &timeout) && timeout.Timeout()
}
