// Package plan turns a manifest into what runs: streams, subjects, consumers, buckets, and the configuration of the
// entrypoint and of every node. It is pure, and the only place where these names are made; everybody else is handed
// them as data. The meaning of the configurations is told in runner-sdk/spec/protocol.md.
package plan

import "time"

// Plan is everything a version needs of the broker and hands to its processes.
type Plan struct {
	Version    string // mapped name
	Streams    []Stream
	Consumers  []Consumer
	Buckets    []Bucket
	Entrypoint Entrypoint
	Nodes      []Node
}

// Retention of a stream.
type Retention string

// Interest drops a message once every consumer acknowledged it; Limits keeps it until the stream's limits are reached.
const (
	Interest Retention = "interest"
	Limits   Retention = "limits"
)

// Stream is a JetStream stream with file storage.
type Stream struct {
	Name       string
	Subjects   []string
	Retention  Retention
	DiscardNew bool          // refuse when full, instead of dropping the oldest
	MaxMsgs    int64         // 0: no limit
	MaxEach    int64         // messages of one subject; 0: no limit
	MaxAge     time.Duration // 0: no limit
	Duplicates time.Duration // window in which an id is known
	Atomic     bool          // atomic batches are allowed: nodes that were packed before there were parcels send them
}

// Consumer is a durable pull consumer with explicit acknowledgement and unlimited deliveries.
type Consumer struct {
	Stream        string
	Name          string
	Filters       []string
	AckWait       time.Duration
	MaxAckPending int
}

// Bucket is a key-value bucket.
type Bucket struct {
	Name string
	TTL  time.Duration
}

// Entrypoint is the configuration of a version's entrypoint.
type Entrypoint struct {
	Version   string             `json:"version"`
	Proto     string             `json:"proto,omitempty"`
	ReplyTo   string             `json:"replyTo"`           // an instance listens on ReplyTo + "." + its own id
	Control   string             `json:"control,omitempty"` // subject of what instances are told to do
	Status    string             `json:"status,omitempty"`  // subject on which instances tell that requests cannot be stored
	Inbox     string             `json:"inbox,omitempty"`   // prefix of the subjects on which answers are awaited
	Workflows []EntrypointTarget `json:"workflows"`
}

// EntrypointTarget is a workflow as the entrypoint sees it. Expired and Questions are what they are at Node.
type EntrypointTarget struct {
	Name      string   `json:"name"` // as written
	ID        string   `json:"id"`   // mapped
	RPC       string   `json:"rpc"`
	Stream    string   `json:"stream"`
	Subject   string   `json:"subject"`
	TimeoutMs int64    `json:"timeoutMs"`
	Expired   string   `json:"expired,omitempty"`
	Consumers []Source `json:"consumers"` // all of them must exist before the entrypoint is ready

	Questions string `json:"questions,omitempty"`
	Path      []Step `json:"path,omitempty"` // the nodes from which the exitpoint can be reached, itself included, in the manifest's order
}

// Step is a node on the way of a request, and what it gets its messages from.
type Step struct {
	Node      string         `json:"node"` // as written
	Exitpoint bool           `json:"exitpoint,omitempty"`
	From      []Subscription `json:"from"`
}

// Subscription is a channel of a node; entrypoint is one, too.
type Subscription struct {
	Node    string `json:"node"`              // as written
	Channel string `json:"channel,omitempty"` // empty: the default one
}

// Node is the configuration of a node, as runner-sdk/spec/protocol.md tells it. Expired is what becomes of a message past
// its request's deadline; finish: it runs to its end; absent, which is drop: it is not run any more if its caller is known
// to have gone without an answer. Heard says that the exitpoint subscribes to the node, and so decides what its errors answer.
type Node struct {
	Version     string      `json:"version"`
	Workflow    string      `json:"workflow"`
	Node        string      `json:"node"`
	ID          string      `json:"id"`
	Src         string      `json:"src"`
	Exitpoint   bool        `json:"exitpoint"`
	OnPath      bool        `json:"onPath"`
	Heard       bool        `json:"heard,omitempty"`
	MaxAttempts int         `json:"maxAttempts"`
	TimeoutMs   int64       `json:"timeoutMs"`
	Expired     string      `json:"expired,omitempty"`
	Sources     []Source    `json:"sources"`
	Output      *Output     `json:"output,omitempty"`
	Parcels     *Parcels    `json:"parcels,omitempty"` // there if Output is
	DeadLetters DeadLetters `json:"deadLetters"`
	Starts      string      `json:"starts"`
	Status      string      `json:"status,omitempty"`    // subject on which the node tells of slow handlers
	Questions   string      `json:"questions,omitempty"` // subject on which the workflow's nodes are asked where requests are
	Inbox       string      `json:"inbox,omitempty"`     // prefix of the subjects on which answers are awaited
}

// Source is a consumer of a stream.
type Source struct {
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
}

// Output is where a node stores what it sends.
type Output struct {
	Stream   string            `json:"stream"`
	Error    string            `json:"error"`
	Channels map[string]string `json:"channels"`
	Early    map[string]string `json:"early,omitempty"`
}

// Parcels is where a node stores several outputs of one run as one message, and the consumer by which it takes them out.
type Parcels struct {
	Source
	Subject string `json:"subject"` // of a run's only parcel
	Part    string `json:"part"`    // of a run's several parcels but the last
	Last    string `json:"last"`    // of a run's last parcel of several
}

// DeadLetters is where a node puts what it could not handle.
type DeadLetters struct {
	Stream  string `json:"stream"`
	Subject string `json:"subject"`
}
