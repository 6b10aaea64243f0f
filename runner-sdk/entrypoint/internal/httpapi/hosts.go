package httpapi

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"google.golang.org/grpc/codes"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/exchange"
)

// Hosts are the names by which the version may be called. A page in a browser can have its own name lead to this machine, and
// would read answers as its own; what it cannot do is call by another name than its own.
type Hosts struct {
	any     bool
	allowed []string // lower case; one that begins with a dot stands for every name that ends so
}

// NewHosts are the names of this machine's loopback interface and those that are allowed: NAME, *.NAME for every name in it, or
// *. Where none is allowed and the address to listen on is reached from elsewhere, every name is.
func NewHosts(listening net.Addr, allowed []string) Hosts {
	at, isTCP := listening.(*net.TCPAddr)
	hosts := Hosts{any: len(allowed) == 0 && !(isTCP && at.IP.IsLoopback())}
	for _, name := range allowed {
		name = strings.ToLower(strings.TrimSpace(name))
		hosts.any = hosts.any || name == "*"
		hosts.allowed = append(hosts.allowed, strings.TrimPrefix(name, "*"))
	}
	return hosts
}

// answers tells whether a request by that host, HOST or HOST:PORT, is answered.
func (h Hosts) answers(host string) bool {
	if h.any {
		return true
	}
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.TrimSuffix(strings.Trim(host, "[]"), "."))
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return true
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsLoopback() {
		return true
	}
	for _, name := range h.allowed {
		if host == name || strings.HasPrefix(name, ".") && strings.HasSuffix(host, name) {
			return true
		}
	}
	return false
}

// wrongHost answers a request by a name that is not one of ours.
func (s *Server) wrongHost(w http.ResponseWriter, r *http.Request) {
	s.fail(w, r, http.StatusForbidden, codes.PermissionDenied, exchange.ReasonInvalid,
		fmt.Sprintf("this version is not called %s; it answers to localhost, 127.0.0.1 and what KRE_ALLOWED_HOSTS names", shown(r.Host)))
}
