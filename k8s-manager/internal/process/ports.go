package process

import (
	"fmt"
	"net"
	"strconv"
	"sync"

	"github.com/konstellation-io/kre/kit/fault"
)

const (
	loopback = "127.0.0.1"
	lastPort = 65535
	// portTries is how often the system is asked for a port that nobody here has kept for later.
	portTries = 100
)

// ports knows which ports somebody here has kept: one that is not in use now may belong to a version that is stopped.
type ports struct {
	mu   sync.Mutex
	kept map[int]struct{}
}

func newPorts() *ports { return &ports{kept: make(map[int]struct{})} }

func (p *ports) keep(numbers ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, number := range numbers {
		if number != 0 {
			p.kept[number] = struct{}{}
		}
	}
}

func (p *ports) giveBack(numbers ...int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, number := range numbers {
		delete(p.kept, number)
	}
}

// pick keeps a free port of the loopback interface.
func (p *ports) pick() (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for range portTries {
		listener, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
		if err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		number := 0
		if addr, ok := listener.Addr().(*net.TCPAddr); ok {
			number = addr.Port
		}
		if err := listener.Close(); err != nil {
			return 0, fmt.Errorf("find a free port: %w", err)
		}
		if _, taken := p.kept[number]; !taken && isFree(loopback, number) {
			p.kept[number] = struct{}{}
			return number, nil
		}
	}
	return 0, fault.New(fault.Unavailable, "this machine has no free port for another process")
}

// pickPair keeps the first pair of ports, as far from first as from second, both of which are free.
func (p *ports) pickPair(host string, first, second int) (int, int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ; first <= lastPort && second <= lastPort; first, second = first+1, second+1 {
		_, one := p.kept[first]
		_, two := p.kept[second]
		if one || two || !isFree(host, first) || !isFree(host, second) {
			continue
		}
		p.kept[first], p.kept[second] = struct{}{}, struct{}{}
		return first, second, nil
	}
	return 0, 0, fault.New(fault.Unavailable, "this machine has no free pair of ports for a stable address")
}

// isFree tells whether one can listen on the port, on this host alone and on all its addresses: a program that listens on
// all of them would otherwise get the calls meant for us, or we its own.
func isFree(host string, number int) bool {
	for _, host := range []string{host, ""} {
		listener, err := net.Listen("tcp", hostPort(host, number))
		if err != nil || listener.Close() != nil {
			return false
		}
	}
	return true
}

func hostPort(host string, number int) string { return net.JoinHostPort(host, strconv.Itoa(number)) }
