package runtimeclient

import (
	"errors"
	"sync"
	"time"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/kit/fault"
)

// unusedLimit is how long a connection stays open that nobody uses. A runtime-api that starts again may have another
// address; its old one is never asked for again.
const unusedLimit = 10 * time.Minute

// pool holds one connection per address.
type pool struct {
	dial Dial

	mu          sync.Mutex
	connections map[string]*connection
	closed      bool
}

type connection struct {
	*grpc.ClientConn
	users int
	since time.Time // it has had no user
}

func newPool(dial Dial) *pool { return &pool{dial: dial, connections: map[string]*connection{}} }

// connection returns the one to an address, and what is called when it is not needed any more.
func (p *pool) connection(address string) (*grpc.ClientConn, func(), error) {
	if address == "" {
		return nil, nil, unavailable(errors.New("the runtime has no address yet"))
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, nil, unavailable(errors.New("the program is ending"))
	}
	found, ok := p.connections[address]
	if !ok {
		p.sweep(time.Now())
		conn, err := p.dial(address)
		if err != nil {
			return nil, nil, fault.Wrap(fault.Internal, err, "connect to a runtime-api")
		}
		found = &connection{ClientConn: conn}
		p.connections[address] = found
	}
	found.users++
	return found.ClientConn, func() { p.release(found) }, nil
}

func (p *pool) release(used *connection) {
	p.mu.Lock()
	defer p.mu.Unlock()
	used.users--
	used.since = time.Now()
}

// sweep closes what nobody has used for long.
func (p *pool) sweep(now time.Time) {
	for address, c := range p.connections {
		if c.users == 0 && now.Sub(c.since) > unusedLimit {
			delete(p.connections, address)
			_ = c.Close() // nothing goes on over it
		}
	}
}

func (p *pool) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	var failed []error
	for _, c := range p.connections {
		failed = append(failed, c.Close())
	}
	p.connections = nil
	return errors.Join(failed...)
}
