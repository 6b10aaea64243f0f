package documents

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/socket"
)

// proxy hands messages of clients to FerretDB, one write command at a time.
type proxy struct {
	listener net.Listener
	behind   string // address of FerretDB
	indexes  *indexes
	log      *zap.Logger
	turn     sync.Mutex // held by who writes
	running  sync.WaitGroup

	mu      sync.Mutex
	closing bool
	open    map[*session]struct{}
}

// session is one client's connection and its own one to FerretDB.
type session struct {
	client, server         net.Conn
	fromClient, fromServer *bufio.Reader
}

func newProxy(listener net.Listener, behind string, indexes *indexes, log *zap.Logger) *proxy {
	p := &proxy{listener: listener, behind: behind, indexes: indexes, log: log, open: map[*session]struct{}{}}
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
		server, err := socket.Dial(context.Background(), p.behind)
		if err != nil {
			p.log.Warn("cannot reach the document server", zap.Error(err))
			_ = client.Close()
			continue
		}
		s := &session{
			client: client, server: server,
			fromClient: bufio.NewReader(client), fromServer: bufio.NewReader(server),
		}
		if !p.enter(s) {
			s.close()
			continue
		}
		go func() {
			defer p.leave(s)
			if err := p.talk(s); !ended(err) {
				p.log.Warn("a client's connection ended", zap.Error(err))
			}
		}()
	}
}

// talk hands on requests and their answers until one side ends, which is its error.
func (p *proxy) talk(s *session) error {
	for {
		r, err := readRequest(s.fromClient)
		if err != nil {
			return err
		}
		answer, err := p.answer(s, r)
		if err != nil {
			return err
		}
		if r.silent {
			continue
		}
		if _, err := s.client.Write(answer); err != nil {
			return err
		}
	}
}

// answer is the answer to a request.
func (p *proxy) answer(s *session, r request) (message, error) {
	if r.write() {
		return p.write(s, r)
	}
	if page, ok := pageOf(r); ok {
		answer, err := page.find(p.indexes, r.id())
		if err != nil {
			p.log.Warn("cannot read a page by an index", zap.Error(err))
		} else if answer != nil {
			return answer, nil
		}
	}
	return s.exchange(r.message)
}

// write holds the turn until FerretDB has answered.
func (p *proxy) write(s *session, r request) (message, error) {
	p.turn.Lock()
	defer p.turn.Unlock()
	request := r.message
	if g, ok := guardOf(r); ok {
		found, err := s.exchange(g.lookup(r.id(), g.id))
		if err != nil {
			return nil, err
		}
		if narrow, ok := g.narrow(r.id(), found); ok {
			request = narrow
		}
	}
	answer, err := s.exchange(request)
	if err != nil {
		return nil, err
	}
	p.indexes.follow(r)
	return answer, nil
}

// exchange asks FerretDB.
func (s *session) exchange(m message) (message, error) {
	if _, err := s.server.Write(m); err != nil {
		return nil, fmt.Errorf("the document server takes nothing: %w", err)
	}
	answer, err := readMessage(s.fromServer)
	if err != nil {
		return nil, fmt.Errorf("the document server does not answer: %w", err)
	}
	return answer, nil
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
	return errors.Join(err, p.indexes.close())
}

func (s *session) close() {
	_ = s.client.Close()
	_ = s.server.Close()
}

// ended says whether a connection ended as connections do.
func ended(err error) bool {
	var timeout net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, syscall.ECONNRESET) ||
		errors.Is(err, syscall.EPIPE) || errors.As(err, &timeout) && timeout.Timeout()
}
