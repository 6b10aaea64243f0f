// Package ports finds ports of this machine's loopback interface.
package ports

import (
	"fmt"
	"net"
	"strconv"
)

// Loopback is the host that everything listens on.
const Loopback = "127.0.0.1"

// Last is the highest port there is.
const Last = 65535

// Pick is wanted where nobody listens on it, else, and for 0, a free one.
func Pick(wanted int) (int, error) {
	if wanted != 0 && Free(wanted) {
		return wanted, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(Loopback, "0"))
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	if err := l.Close(); err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	return strconv.Atoi(port)
}

// Free tells whether one can listen on the port, on this host alone and on all its addresses: a program that listens on
// all of them would otherwise get the calls meant for us, or we its own.
func Free(port int) bool {
	for _, host := range []string{Loopback, ""} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(port)))
		if err != nil {
			return false
		}
		if l.Close() != nil {
			return false
		}
	}
	return true
}

// Address is host and port.
func Address(port int) string { return net.JoinHostPort(Loopback, strconv.Itoa(port)) }

// Check tells what is wrong with a port that a person gave; 0 stands for any.
func Check(port int) error {
	if port < 0 || port > Last {
		return fmt.Errorf("port %d: want 0 to %d", port, Last)
	}
	return nil
}
