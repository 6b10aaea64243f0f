// Package manifest reads the manifest of a KRT package, V1 or V2, into one model and reports everything that is wrong
// with it at once. It reads no file but the ones it is handed and knows nothing of brokers or clusters.
package manifest

import (
	"encoding/json"
	"slices"
	"strings"
	"time"
)

// Format is the format a manifest was written in.
type Format string

// The two formats.
const (
	V1 Format = "v1"
	V2 Format = "v2"
)

// What becomes of a message past its request's deadline.
const (
	ExpiredDrop   = "drop"   // it is not run any more if its caller is known to have gone without an answer
	ExpiredFinish = "finish" // it runs to its end
)

// Entrypoint is the name by which a subscription means the caller's requests.
const Entrypoint = "entrypoint"

// What holds where a manifest says nothing.
const (
	DefaultProto       = "public_input.proto"
	DefaultTimeout     = 30 * time.Second
	DefaultMaxAttempts = 5
	DefaultReplicas    = 1
	DefaultExpired     = ExpiredDrop
)

// Manifest is a manifest of either format, defaults filled in.
type Manifest struct {
	Format      Format     `json:"format"`
	Version     string     `json:"version"` // as written
	ID          string     `json:"id"`      // mapped to a valid Kubernetes name; equals Version in V2
	Description string     `json:"description,omitempty"`
	Proto       string     `json:"proto,omitempty"` // path of the public .proto in the package; empty: requests and answers are google.protobuf.Struct
	Config      Config     `json:"config"`
	Workflows   []Workflow `json:"workflows"`

	file       string
	protoGiven bool           // Proto was written, not assumed
	lines      map[string]int // where each value was written, by its path
}

// Config names the configuration values that a person sets before the version starts.
type Config struct {
	Variables []string `json:"variables"` // each is an environment variable of every node
	Files     []string `json:"files"`     // each is a file, whose path the variable of that name holds
}

// Workflow answers one rpc.
type Workflow struct {
	Name        string        `json:"name"`      // as written
	ID          string        `json:"id"`        // mapped
	RPC         string        `json:"rpc"`       // the rpc of the public service that this workflow answers
	Exitpoint   string        `json:"exitpoint"` // Name of the node whose output answers the caller
	Timeout     time.Duration `json:"-"`         // in JSON a Go duration, e.g. "30s"
	MaxAttempts int           `json:"maxAttempts"`
	AttemptsSet bool          `json:"attemptsSet"` // MaxAttempts was written, not assumed
	Expired     string        `json:"expired"`     // ExpiredDrop or ExpiredFinish
	Nodes       []Node        `json:"nodes"`

	path string // where it was written
}

// Node is one step of a workflow.
type Node struct {
	Name          string            `json:"name"` // as written
	ID            string            `json:"id"`   // mapped
	Image         string            `json:"image"`
	Src           string            `json:"src"` // path in the package; empty until Check has found it, where a V1 manifest does not name it
	Replicas      int               `json:"replicas"`
	GPU           bool              `json:"gpu"`
	Subscriptions []Subscription    `json:"subscriptions"`
	StartTimeout  time.Duration     `json:"-"` // 0: the platform's; in JSON a Go duration
	Resources     Resources         `json:"resources"`
	Env           map[string]string `json:"env,omitempty"`
	Config        []string          `json:"config"`                 // which of the declared values the node gets; nil: all
	Dependencies  string            `json:"dependencies,omitempty"` // "" or "image"
	Protocol      string            `json:"protocol,omitempty"`     // "" or "worker"

	path     string // where it was written
	srcGiven bool   // src was written, rightly or not
	damaged  bool   // its subscriptions were complained about, so that nothing follows from them
}

// Python reports whether the node is a Python file. Whatever it says of its protocol: such a node is a worker.
func (n Node) Python() bool { return strings.HasSuffix(n.Src, ".py") }

const workerProtocol = "worker"

// Worker reports whether the node is an executable that speaks the worker protocol (runner-sdk/spec/worker.md), not the
// broker's.
func (n Node) Worker() bool { return n.Protocol == workerProtocol && !n.Python() }

// Subscription names what a node receives: what the node Node (or Entrypoint) sends to Channel, "" being its default one.
type Subscription struct {
	Node    string `json:"node"` // Name, as written
	Channel string `json:"channel,omitempty"`
}

// String is the subscription as a V2 manifest writes it.
func (s Subscription) String() string {
	if s.Channel == "" {
		return s.Node
	}
	return s.Node + "." + s.Channel
}

// Resources are Kubernetes quantities by resource name.
type Resources struct {
	Requests map[string]string `json:"requests,omitempty"`
	Limits   map[string]string `json:"limits,omitempty"`
}

// ConfigOf is what the node gets of the declared configuration values.
func (m *Manifest) ConfigOf(n Node) Config {
	if n.Config == nil {
		return m.Config
	}
	other := func(name string) bool { return !slices.Contains(n.Config, name) }
	return Config{
		Variables: slices.DeleteFunc(slices.Clone(m.Config.Variables), other),
		Files:     slices.DeleteFunc(slices.Clone(m.Config.Files), other),
	}
}

// Line is where the value at path was written, e.g. workflows[0].nodes[2].src; where that is absent, what would hold it.
// 0 when the manifest was not read from a file.
func (m *Manifest) Line(path string) int { return lineOf(m.lines, path) }

func lineOf(lines map[string]int, path string) int {
	for {
		if line, ok := lines[path]; ok {
			return line
		}
		if path == "" {
			return 0
		}
		path = path[:max(0, strings.LastIndexAny(path, ".["))]
	}
}

// MarshalJSON writes the durations as people do.
func (w Workflow) MarshalJSON() ([]byte, error) {
	type plain Workflow
	return json.Marshal(struct {
		plain
		Timeout string `json:"timeout"`
	}{plain(w), w.Timeout.String()})
}

// MarshalJSON writes the durations as people do.
func (n Node) MarshalJSON() ([]byte, error) {
	type plain Node
	out := struct {
		plain
		StartTimeout string `json:"startTimeout,omitempty"`
	}{plain: plain(n)}
	if n.StartTimeout > 0 {
		out.StartTimeout = n.StartTimeout.String()
	}
	return json.Marshal(out)
}
