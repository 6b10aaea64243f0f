package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
)

const (
	protosPrefix = "/protos/"
	plainText    = "text/plain; charset=utf-8"
)

// listing is what GET / tells a program.
type listing struct {
	Version string   `json:"version"`
	RPCs    []listed `json:"rpcs"`
	Protos  []string `json:"protos"` // paths on this server
}

type listed struct {
	Name      string `json:"name"`
	Path      string `json:"path"`
	Workflow  string `json:"workflow"`
	Input     string `json:"input"`
	Output    string `json:"output"`
	TimeoutMs int64  `json:"timeoutMs"`
}

// index lists the rpcs: as JSON for who accepts it, else as text for people.
func (s *Server) index(w http.ResponseWriter, r *http.Request) {
	all := listing{Version: s.service.Version}
	for _, rpc := range s.service.RPCs {
		all.RPCs = append(all.RPCs, listed{
			Name: rpc.Name, Path: rpc.Path, Workflow: rpc.Workflow,
			Input: string(rpc.Input.FullName()), Output: string(rpc.Output.FullName()), TimeoutMs: rpc.Timeout.Milliseconds(),
		})
	}
	for _, source := range s.service.Sources {
		all.Protos = append(all.Protos, protosPrefix+source.Path)
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		body, err := json.Marshal(all)
		if err != nil {
			s.logger.Error("writing the list of rpcs", log.Error(err))
			http.Error(w, "internal error", http.StatusInternalServerError)
			return
		}
		s.text(w, r, http.StatusOK, "application/json", append(body, '\n'))
		return
	}
	s.text(w, r, http.StatusOK, plainText, []byte(all.plain(r.Host)))
}

func (l listing) plain(host string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version %s\n\n", l.Version)
	for _, rpc := range l.RPCs {
		fmt.Fprintf(&b, "rpc %s(%s) returns (%s)   workflow %s\n", rpc.Name, rpc.Input, rpc.Output, rpc.Workflow)
		fmt.Fprintf(&b, "    curl --json '{}' http://%s%s\n", host, rpc.Path)
	}
	b.WriteString("\n")
	for _, path := range l.Protos {
		fmt.Fprintf(&b, "http://%s%s\n", host, path)
	}
	return b.String()
}

// source hands out a .proto of the package.
func (s *Server) source(w http.ResponseWriter, r *http.Request, path string) {
	known := make([]string, 0, len(s.service.Sources))
	for _, source := range s.service.Sources {
		if source.Path == path {
			s.text(w, r, http.StatusOK, plainText, source.Text)
			return
		}
		known = append(known, protosPrefix+source.Path)
	}
	s.text(w, r, http.StatusNotFound, plainText, []byte("no such .proto; there are "+strings.Join(known, ", ")+"\n"))
}

// alive says that the process runs.
func (s *Server) alive(w http.ResponseWriter, r *http.Request) {
	s.text(w, r, http.StatusOK, plainText, []byte("ok\n"))
}

// ready says whether requests should be sent here. They should while the broker is away: they wait for it, and it is
// away for the other instances too.
func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	code, said := http.StatusOK, "ok\n"
	if !s.health.BrokerConnected() {
		said = "ok, but the broker is away; requests wait for it\n"
	}
	if !s.health.Ready() {
		code, said = http.StatusServiceUnavailable, "not ready\n"
	}
	s.text(w, r, code, plainText, []byte(said))
}

func (s *Server) text(w http.ResponseWriter, r *http.Request, code int, kind string, body []byte) {
	w.Header().Set("Content-Type", kind)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	if r.Method == http.MethodHead {
		return
	}
	if _, err := w.Write(body); err != nil {
		s.logger.Debug("writing an answer", log.Error(err), zap.String("path", r.URL.Path))
	}
}
