// Package ports finds ports of this machine for programs that are about to start.
package ports

import (
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Loopback is the host that only this machine reaches.
const Loopback = "127.0.0.1"

// Last is the highest port there is.
const Last = 65535

// Ports are picked below those that systems give to connections and to listeners on port 0 (Linux from 32768, others from
// 49152): those come and go all the time, so that one which was free a moment ago is taken when a program has started; and
// who looks for a server there again and again while it is away would sooner or later be connected to itself, and hold the
// port. From 30000 on are those that Kubernetes gives to Services.
const (
	firstPicked = 20000
	lastPicked  = 29999
	tries       = 1000
)

// Pick is a port of the loopback interface that nobody listens on and for which use, unless it is nil, is true.
func Pick(use func(port int) bool) (int, error) {
	for range tries {
		port := firstPicked + rand.IntN(lastPicked-firstPicked+1) //nolint:gosec // nothing secret about it
		if Free(Loopback, port) && (use == nil || use(port)) {
			return port, nil
		}
	}
	return 0, fmt.Errorf("no free port found between %d and %d on %s", firstPicked, lastPicked, Loopback)
}

// Free tells whether one can listen on the port, on the host alone and on all its addresses: a program that listens on
// all of them would otherwise get the calls meant for us, or we its own.
func Free(host string, port int) bool {
	for _, host := range []string{host, ""} {
		var err error
		withoutForks(func() { // else what is just being started would still hold the first one when the second is tried
			var l net.Listener
			if l, err = net.Listen("tcp", Address(host, port)); err == nil {
				err = l.Close()
			}
		})
		if err != nil {
			return false
		}
	}
	return true
}

// Address is HOST:PORT.
func Address(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// Check tells what is wrong with a port that a person gave; 0 stands for any.
func Check(port int) error {
	if port < 0 || port > Last {
		return fmt.Errorf("port %d: want 0 to %d", port, Last)
	}
	return nil
}
