// Package config reads what a node's process is told when it starts. Its meaning is told in runner-sdk/spec/protocol.md;
// it is not where anything is decided.
package config

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/nats-io/nkeys"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/logline"
)

// Process is everything a node's process is told.
type Process struct {
	Node        Node
	URL         string // of the broker; several are separated by commas
	Credentials string // path of a NATS credentials file, or empty
	Package     string // root of the unpacked package
	ReadyFile   string // or empty
	TextLog     bool
	LogLevel    logline.Level
}

// Log returns how the node's log is written.
func (p Process) Log() logline.Options {
	return logline.Options{
		Text: p.TextLog, Level: p.LogLevel,
		Origin: logline.Origin{Version: p.Node.Version, Workflow: p.Node.Workflow, Node: p.Node.Name},
	}
}

// Node is the configuration that krt/plan made for the node.
type Node struct {
	Version     string      `json:"version"`  // mapped
	Workflow    string      `json:"workflow"` // mapped
	Name        string      `json:"node"`     // as written
	ID          string      `json:"id"`       // mapped
	Src         string      `json:"src"`      // path in the package
	Exitpoint   bool        `json:"exitpoint"`
	OnPath      bool        `json:"onPath"` // the exitpoint can be reached from here, or is this node
	Heard       bool        `json:"heard"`  // the exitpoint subscribes to this node: what the node's errors answer, it decides
	MaxAttempts int         `json:"maxAttempts"`
	TimeoutMs   int64       `json:"timeoutMs"`
	Expired     string      `json:"expired"` // what becomes of a message past its request's deadline: see Finishes
	Sources     []Source    `json:"sources"`
	Output      *Output     `json:"output"`  // nil when nobody subscribes to this node
	Parcels     *Parcels    `json:"parcels"` // there if Output is
	DeadLetters DeadLetters `json:"deadLetters"`
	Starts      string      `json:"starts"`    // bucket
	Status      string      `json:"status"`    // subject on which slow handlers are told; nowhere when empty
	Questions   string      `json:"questions"` // subject on which the node is asked where requests are; nowhere when empty
	Inbox       string      `json:"inbox"`     // prefix of the subjects on which answers are awaited; the client's own when empty
}

// Source is a durable consumer of a stream.
type Source struct {
	Stream   string `json:"stream"`
	Consumer string `json:"consumer"`
}

// Output says where what this node sends is stored.
type Output struct {
	Stream   string            `json:"stream"`
	Error    string            `json:"error"`    // subject of errors
	Channels map[string]string `json:"channels"` // subject of each channel somebody listens to
	Early    map[string]string `json:"early"`    // subject of early messages, for channels the exitpoint listens to
}

// Parcels says where several outputs of one run are stored as one message, and the consumer by which they are taken out.
type Parcels struct {
	Source
	Subject string `json:"subject"` // of a run's only parcel
	Part    string `json:"part"`    // of a run's several parcels but the last
	Last    string `json:"last"`    // of a run's last parcel of several
}

// DeadLetters says where messages that could not be handled are stored.
type DeadLetters struct {
	Stream  string `json:"stream"`
	Subject string `json:"subject"`
}

// Bound are the consumers without which the node does not run.
func (n Node) Bound() []Source {
	bound := n.Sources
	if n.Parcels != nil {
		bound = append(slices.Clip(bound), n.Parcels.Source)
	}
	return bound
}

// Timeout is how long a caller of this workflow waits when its message does not say.
func (n Node) Timeout() time.Duration { return time.Duration(n.TimeoutMs) * time.Millisecond }

// Finishes reports whether a message past its request's deadline runs to its end. Else it is not run any more if its caller
// is known to have gone without an answer.
func (n Node) Finishes() bool { return n.Expired == "finish" }

// Read collects the configuration of this process from its environment.
func Read(getenv func(string) string) (Process, error) {
	p := Process{
		URL:         getenv("KRE_NATS_URL"),
		Credentials: getenv("KRE_NATS_CREDS"),
		Package:     getenv("KRE_PACKAGE"),
		ReadyFile:   getenv("KRE_READY_FILE"),
	}
	var err error
	if p.LogLevel, err = logline.ParseLevel(getenv("KRE_LOG_LEVEL")); err != nil {
		return p, fmt.Errorf("KRE_LOG_LEVEL: %w", err)
	}
	switch format := getenv("KRE_LOG_FORMAT"); format {
	case "", "json":
	case "text":
		p.TextLog = true
	default:
		return p, fmt.Errorf("KRE_LOG_FORMAT: %q is not a format: want json or text", format)
	}
	path := getenv("KRE_CONFIG")
	if path == "" {
		return p, errors.New("KRE_CONFIG is not set: a node is started by the platform or by `kre run`; package kretest calls a handler without either")
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return p, fmt.Errorf("reading the node's configuration: %w", err)
	}
	if err := json.Unmarshal(data, &p.Node); err != nil {
		return p, fmt.Errorf("reading the node's configuration %s: %w", path, err)
	}
	if err := p.Node.check(); err != nil {
		return p, fmt.Errorf("the node's configuration %s: %w", path, err)
	}
	if p.URL == "" {
		return p, errors.New("KRE_NATS_URL is not set: it names the broker")
	}
	if p.Credentials != "" {
		if err := checkCredentials(p.Credentials); err != nil {
			return p, fmt.Errorf("KRE_NATS_CREDS: %w", err)
		}
	}
	if p.Package == "" {
		if p.Package, err = os.Getwd(); err != nil {
			return p, fmt.Errorf("KRE_PACKAGE is not set and there is no working directory: %w", err)
		}
	}
	return p, nil
}

// checkCredentials says now what the broker's client would go on trying with for ever.
func checkCredentials(path string) error {
	content, err := os.ReadFile(path)
	if err != nil {
		return fmt.Errorf("cannot read the credentials: %w", err)
	}
	if _, err := nkeys.ParseDecoratedJWT(content); err != nil || !bytes.Contains(content, []byte("NATS USER JWT")) {
		return fmt.Errorf("%s holds no NATS user JWT", path)
	}
	return nil
}

func (n Node) check() error {
	for name, value := range map[string]string{
		"version": n.Version, "workflow": n.Workflow, "node": n.Name, "id": n.ID,
		"deadLetters.subject": n.DeadLetters.Subject, "starts": n.Starts,
	} {
		if value == "" {
			return fmt.Errorf("%s is missing", name)
		}
	}
	if n.MaxAttempts < 1 {
		return fmt.Errorf("maxAttempts is %d, want at least 1", n.MaxAttempts)
	}
	if len(n.Sources) == 0 {
		return errors.New("sources is empty: the node would never receive anything")
	}
	if n.Output != nil && n.Parcels == nil {
		return errors.New("parcels is missing: the version has to be prepared again, by a platform that knows them")
	}
	return nil
}
