// Package nodestatus tells what the nodes of a runtime's versions do, from what is observed of their processes and from
// what they say of themselves. It knows neither files nor the broker.
package nodestatus

import (
	"context"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

// State is what a node or one of its processes does.
type State int

// The states.
const (
	Stopped  State = iota + 1 // it does not run
	Starting                  // it runs and is not ready yet
	Ready                     // it is ready
	Failed                    // it ended or did not become ready; it is tried again
)

// Process is what is observed of a process.
type Process struct {
	logbook.Process
	State       State
	Reason      string // why it failed
	LastLogLine string // the last it logged before it failed, as it is
	Restarts    int    // since it was asked to run
	Since       time.Time
}

// Node is what is observed of a node.
type Node struct {
	Workflow    string // as the manifest writes it; empty for the entrypoint
	Name        string // as the manifest writes it, or entrypoint
	State       State
	Reason      string // why it failed
	LastLogLine string // of the replica that failed, for people
	Replicas    []Replica
	Warnings    []string       // what a person should look at
	Load                       // of the entrypoint: of all workflows
	Workflows   []WorkflowLoad // of the entrypoint: those of which there is something to tell, in the order of the manifest

	mapped string // name of the workflow, as processes are called; of the entrypoint its own
}

// Replica is what is observed of one process of a node.
type Replica struct {
	Index       int
	State       State
	Reason      string
	LastLogLine string // for people
	Restarts    int
	Since       time.Time // of the state; zero: it was never started
}

// Processes tells of processes.
type Processes interface {
	// Processes observes the processes of a version now, in the order to show. A version that never ran has none.
	Processes(version string) ([]Process, error)
}

// Options are what may be other than usual.
type Options struct {
	WarnFor time.Duration    // how long what a process says of itself is shown; 0: 15 s
	Look    time.Duration    // how often is looked for a change; 0: 200 ms
	Now     func() time.Time // the clock; nil: time.Now
}

// Service tells what nodes do.
type Service struct {
	processes Processes
	opts      Options
	began     time.Time

	mu sync.Mutex
	notes
}

// maxLine is how much of a log line is shown, in bytes.
const maxLine = 500

// NewService returns a service that looks at processes.
func NewService(processes Processes, opts Options) *Service {
	if opts.WarnFor == 0 {
		opts.WarnFor = 15 * time.Second
	}
	if opts.Look == 0 {
		opts.Look = 200 * time.Millisecond
	}
	if opts.Now == nil {
		opts.Now = time.Now
	}
	return &Service{processes: processes, opts: opts, began: opts.Now(), notes: notes{versions: make(map[string]*said)}}
}

// List observes the entrypoint and the nodes of a version now, in the order of the manifest. A version that never ran has
// none.
func (s *Service) List(_ context.Context, version string) ([]Node, error) {
	if !versionName.MatchString(version) {
		message := "want the name of a version, mapped: " + versionName.String()
		err := fault.New(fault.Invalid, "version: %s", message)
		err.Fields = []fault.Field{{Path: "version", Message: message}}
		return nil, err
	}
	processes, err := s.processes.Processes(version)
	if err != nil {
		return nil, err
	}
	var nodes []Node
	for _, process := range processes {
		i := slices.IndexFunc(nodes, func(n Node) bool { return n.Workflow == process.Workflow && n.Name == process.Node })
		if i < 0 {
			i = len(nodes)
			nodes = append(nodes, Node{Workflow: process.Workflow, Name: process.Node, mapped: mapped(process.Process)})
		}
		nodes[i].Replicas = append(nodes[i].Replicas, Replica{
			Index: process.Replica, State: process.State, Reason: process.Reason, LastLogLine: plain(process.LastLogLine),
			Restarts: process.Restarts, Since: process.Since,
		})
	}
	for i := range nodes {
		nodes[i].judge()
	}
	s.recall(version, nodes)
	return nodes, nil
}

// mapped is the mapped name of the workflow that a process is of. An entrypoint is of none, and calls it as itself.
func mapped(process logbook.Process) string {
	if workflow, _, of := strings.Cut(process.Name, "."); of {
		return workflow
	}
	return process.Node
}

var versionName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// Watch calls each with what List answers, first as it is and then whenever it changes, until ctx ends or each fails.
func (s *Service) Watch(ctx context.Context, version string, each func([]Node) error) error {
	look := time.NewTicker(s.opts.Look)
	defer look.Stop()
	var told []Node
	for first := true; ; first = false {
		nodes, err := s.List(ctx, version)
		if err != nil {
			return err
		}
		if first || !reflect.DeepEqual(nodes, told) {
			if err := each(nodes); err != nil {
				return err
			}
			told = nodes
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-look.C:
		}
	}
}

// judge says of a node what follows from its replicas.
func (n *Node) judge() {
	count := make(map[State]int)
	for _, replica := range n.Replicas {
		count[replica.State]++
	}
	switch {
	case count[Failed] > 0:
		n.State = Failed
	case count[Stopped] == len(n.Replicas):
		n.State = Stopped
	case count[Ready] == len(n.Replicas):
		n.State = Ready
	default: // some do not run yet, or any more
		n.State = Starting
	}
	for _, replica := range n.Replicas {
		if replica.State == n.State && replica.Reason != "" && (n.State == Failed || n.State == Starting) {
			n.Reason, n.LastLogLine = replica.Reason, replica.LastLogLine
			return
		}
	}
}

// plain is a log line for people.
func plain(line string) string { return short(logbook.Plain(line)) }

// short is what is shown of a text of somebody else's.
func short(line string) string {
	if len(line) > maxLine {
		line = strings.ToValidUTF8(line[:maxLine], "") + "…"
	}
	return line
}
