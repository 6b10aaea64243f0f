// Package manifest reads the manifest of a KRT package, V1 or V2, into one model and reports everything that is wrong
// with it at once. It reads no file but the ones it is handed and knows nothing of brokers or clusters.
package manifest

import "time"

// Format is the format a manifest was written in.
type Format string

// The two formats.
const (
	V1 Format = "v1"
	V2 Format = "v2"
)

// Entrypoint is the name by which a subscription means the caller's requests.
const Entrypoint = "entrypoint"

// Manifest is a manifest of either format, defaults filled in.
type Manifest struct {
	Format      Format
	Version     string // as written
	ID          string // mapped to a valid Kubernetes name; equals Version in V2
	Description string
	Proto       string // path of the public .proto in the package; empty: requests and answers are google.protobuf.Struct
	Config      Config
	Workflows   []Workflow
}

// Config names the configuration values that a person sets before the version starts.
type Config struct {
	Variables []string // each is an environment variable of every node
	Files     []string // each is a file, whose path the variable of that name holds
}

// Workflow answers one rpc.
type Workflow struct {
	Name        string // as written
	ID          string // mapped
	RPC         string // the rpc of the public service that this workflow answers
	Exitpoint   string // Name of the node whose output answers the caller
	Timeout     time.Duration
	MaxAttempts int
	AttemptsSet bool // MaxAttempts was written, not assumed
	Nodes       []Node
}

// Node is one step of a workflow.
type Node struct {
	Name          string // as written
	ID            string // mapped
	Image         string
	Src           string // path in the package
	Replicas      int
	GPU           bool
	Subscriptions []Subscription
	StartTimeout  time.Duration
	Resources     Resources
	Env           map[string]string
	Config        []string // which of the declared values the node gets; nil: all
	Dependencies  string   // "" or "image"
}

// Python reports whether the node runs in the Python runner.
func (n Node) Python() bool { return len(n.Src) > 3 && n.Src[len(n.Src)-3:] == ".py" }

// Subscription names what a node receives: what the node Node (or Entrypoint) sends to Channel, "" being its default one.
type Subscription struct {
	Node    string // Name, as written
	Channel string
}

// Resources are Kubernetes quantities by resource name.
type Resources struct {
	Requests map[string]string
	Limits   map[string]string
}
