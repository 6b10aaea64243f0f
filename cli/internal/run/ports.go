package run

import (
	"fmt"
	"net"
	"strconv"
)

const loopback = "127.0.0.1"

// pickPort is wanted where nobody listens on it, else a free one.
func pickPort(wanted int) (int, error) {
	if wanted != 0 && free(wanted) {
		return wanted, nil
	}
	l, err := net.Listen("tcp", net.JoinHostPort(loopback, "0"))
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

// free tells whether one can listen on the port, on this host alone and on all its addresses: a program that listens on
// all of them would otherwise get the calls meant for us, or we its own.
func free(port int) bool {
	for _, host := range []string{loopback, ""} {
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

func address(port int) string { return net.JoinHostPort(loopback, strconv.Itoa(port)) }
