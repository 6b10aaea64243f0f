package httpapi

import (
	"net"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestOnLoopbackOnlyLoopbackNamesAreAnsweredUnlessOthersAreAllowed(t *testing.T) {
	loopback, elsewhere := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)}, &net.TCPAddr{IP: net.IPv4zero}
	own := []string{"localhost", "localhost:8080", "LOCALHOST.", "prices.localhost:80", "127.0.0.1", "127.8.9.1:8080", "[::1]:8080", "::1"}
	foreign := []string{
		"evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1", "0.0.0.0", "", "::2",
		"xlocalhost", "2130706433", "a.kre.example.evil", "akre.example",
	}
	allowed := []string{"kre.example", "prices.lan:8080", "a.teams.example", "b.a.teams.example."}
	for _, c := range []struct {
		name    string
		at      net.Addr
		allowed []string
		yes, no []string
	}{
		{"on loopback", loopback, nil, own, append(foreign, allowed...)},
		{"on loopback, with names", loopback, []string{"KRE.example", "prices.lan", "*.teams.example"}, append(own, allowed...), append(foreign, "teams.example")},
		{"on loopback, with any", loopback, []string{"*"}, append(own, foreign...), nil},
		{"for others", elsewhere, nil, append(own, foreign...), nil},
		{"for others, with names", elsewhere, []string{"kre.example"}, append(own, "kre.example"), foreign},
	} {
		hosts := NewHosts(c.at, c.allowed)
		for _, host := range c.yes {
			require.Truef(t, hosts.answers(host), "%s: %q", c.name, host)
		}
		for _, host := range c.no {
			require.Falsef(t, hosts.answers(host), "%s: %q", c.name, host)
		}
	}
}
