package broker

import (
	"fmt"
	"net"
	"os"
	"path"
	"strconv"
	"strings"
	"time"
)

// fetchWithin is how long the server asks others for an account it does not know. There are none.
const fetchWithin = 200 * time.Millisecond

// config is what a nats-server in operator mode reads.
func config(m Mount) string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("server_name: kre")
	line("listen: %q", net.JoinHostPort(m.Host, strconv.Itoa(m.Port)))
	if m.HTTP != 0 {
		line("http: %q", net.JoinHostPort(m.Host, strconv.Itoa(m.HTTP)))
	}
	line("max_payload: %d", MaxPayload)
	line("max_pending: %d", maxPending)
	line("max_control_line: %d", maxControlLine)
	line("operator: %q", path.Join(m.Path, "operator.jwt"))
	line("resolver: {")
	line("  type: full")
	line("  dir: %q", path.Join(m.Path, "accounts"))
	line("  allow_delete: true")
	line("  hard_delete: true")
	line("  timeout: %q", fetchWithin.String())
	line("}")
	line("jetstream: {")
	line("  store_dir: %q", m.StoreDir)
	line("  max_file_store: %d", int64(maxStore))
	line("  limits: {")
	line("    batch: {max_inflight_per_stream: %d, max_inflight_total: %d}", openBatches, 20*openBatches)
	line("  }")
	line("}")
	return b.String()
}

// writeFile writes a file whole or not at all, for the owner's eyes only.
func writeFile(name string, content []byte) error {
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		return err
	}
	return os.Rename(name+".new", name)
}
