// Package handover lets one open port be served by one server after another, without losing a connection or a call on
// the way: whoever accepts the connections hands each of them to the server that is current at that moment, and a server
// that was followed by another one is brought to its end in order. It knows gRPC and nothing of what is served.
package handover

import (
	"errors"
	"net"
	"sync"
	"time"
)

// Listener is a net.Listener that accepts what it is handed. Closing it ends no connection.
type Listener struct {
	address net.Addr
	handed  chan net.Conn
	closed  chan struct{}
	once    sync.Once

	settling sync.WaitGroup // accepted, and not yet looked at by the server

	mu   sync.Mutex
	open int // accepted, and not yet closed
}

// NewListener returns a listener that says it listens on address.
func NewListener(address net.Addr) *Listener {
	return &Listener{address: address, handed: make(chan net.Conn), closed: make(chan struct{})}
}

// Hand passes a connection to whoever calls Accept, and waits until it is taken. The error is net.ErrClosed: then the
// connection is still the caller's.
func (l *Listener) Hand(conn net.Conn) error {
	select {
	case l.handed <- conn:
		return nil
	case <-l.closed:
		return net.ErrClosed
	}
}

// Accept returns the next connection that was handed over, or net.ErrClosed once the listener is closed.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case conn := <-l.handed:
		l.settling.Add(1)
		l.count(1)
		if tcp, ok := conn.(*net.TCPConn); ok { // which can do more than a net.Conn
			return &tcpConnection{TCPConn: tcp, handed: &handed{listener: l}}, nil
		}
		return &connection{Conn: conn, handed: &handed{listener: l}}, nil
	case <-l.closed:
		return nil, net.ErrClosed
	}
}

// Close makes Accept and Hand return net.ErrClosed.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr is the address that NewListener was given.
func (l *Listener) Addr() net.Addr { return l.address }

// Settle waits until the server has begun with each connection that it accepted, which it shows by setting a deadline on
// it or by closing it. It is called once the server accepts no more. A gRPC server that is told to stop before that
// resets the connection.
func (l *Listener) Settle() { l.settling.Wait() }

// Open is how many of the accepted connections have not ended.
func (l *Listener) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

func (l *Listener) count(change int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open += change
}

// handed is what a listener knows of a connection that it has handed out.
type handed struct {
	listener     *Listener
	begun, ended sync.Once
}

func (h *handed) begin() { h.begun.Do(h.listener.settling.Done) }

func (h *handed) end() {
	h.begin()
	h.ended.Do(func() { h.listener.count(-1) })
}

type connection struct {
	net.Conn
	handed *handed
}

// SetDeadline is the first thing that a gRPC server does with a connection.
func (c *connection) SetDeadline(t time.Time) error {
	c.handed.begin()
	return c.Conn.SetDeadline(t)
}

func (c *connection) Close() error {
	c.handed.end()
	return c.Conn.Close()
}

type tcpConnection struct {
	*net.TCPConn
	handed *handed
}

// SetDeadline is the first thing that a gRPC server does with a connection.
func (c *tcpConnection) SetDeadline(t time.Time) error {
	c.handed.begin()
	return c.TCPConn.SetDeadline(t)
}

func (c *tcpConnection) Close() error {
	c.handed.end()
	return c.TCPConn.Close()
}

// Accept hands the connections of a listener on, one after the other, until the listener is closed, which is no error.
// What keeps it from accepting for a while (no more files, say) is waited for.
func Accept(listener net.Listener, hand func(net.Conn)) error {
	const first, last = 5 * time.Millisecond, time.Second
	pause := first
	for {
		conn, err := listener.Accept()
		switch {
		case err == nil:
			pause = first
			hand(conn)
		case errors.Is(err, net.ErrClosed):
			return nil
		case passing(err):
			time.Sleep(pause)
			pause = min(2*pause, last)
		default:
			return err
		}
	}
}

func passing(err error) bool {
	var temporary interface{ Temporary() bool }
	return errors.As(err, &temporary) && temporary.Temporary()
}
