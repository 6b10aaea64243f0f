// Package nodestatus tells what the nodes of a runtime's versions do, from what is observed of their processes and from
// what they say of themselves. It knows neither files nor the broker.
package nodestatus

import (
	"context"
	"fmt"
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
	Warnings    []string // what a person should look at
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

// Slow is what a process of a node says of itself: which handlers run longer than their workflow's timeout, or why there is
// nobody to run any; an entrypoint says why it refuses requests.
type Slow struct {
	Workflow string        // mapped name
	Node     string        // as the manifest writes it
	Replica  string        // id, another one at each start of the process
	Requests []SlowRequest // none: it is over
	Down     string        // how the worker ended that is being started again; empty: it runs
	Trouble  string        // what else a person should know, as a sentence
}

// SlowRequest is a handler that runs longer than its workflow's timeout.
type SlowRequest struct {
	ID      string
	Running time.Duration
}

// Processes tells of processes.
type Processes interface {
	// Processes observes the processes of a version now, in the order to show. A version that never ran has none.
	Processes(version string) ([]Process, error)
}

// Options are what may be other than usual.
type Options struct {
	WarnFor time.Duration // how long what a process says of itself is shown; 0: 15 s
	Look    time.Duration // how often is looked for a change; 0: 200 ms
}

// Service tells what nodes do.
type Service struct {
	processes Processes
	opts      Options

	mu   sync.Mutex
	slow map[slowKey]noted
}

type slowKey struct{ version, workflow, node, replica string }

type noted struct {
	requests []SlowRequest
	down     string
	trouble  string
	until    time.Time
}

const (
	// maxNoted bounds how many processes may say something of themselves at a time.
	maxNoted = 10_000
	// maxWarnings is how many requests of a process are shown.
	maxWarnings = 5
	// maxLine is how much of a log line is shown, in bytes.
	maxLine = 500
)

// NewService returns a service that looks at processes.
func NewService(processes Processes, opts Options) *Service {
	if opts.WarnFor == 0 {
		opts.WarnFor = 15 * time.Second
	}
	if opts.Look == 0 {
		opts.Look = 200 * time.Millisecond
	}
	return &Service{processes: processes, opts: opts, slow: make(map[slowKey]noted)}
}

// Note takes notice of what a process of a version says of itself.
func (s *Service) Note(version string, slow Slow) {
	now := time.Now()
	key := slowKey{version: version, workflow: slow.Workflow, node: slow.Node, replica: slow.Replica}
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.slow, key)
	if len(slow.Requests) == 0 && slow.Down == "" && slow.Trouble == "" {
		return
	}
	if len(s.slow) >= maxNoted {
		for key, n := range s.slow {
			if now.After(n.until) {
				delete(s.slow, key)
			}
		}
	}
	if len(s.slow) < maxNoted {
		s.slow[key] = noted{
			requests: slices.Clone(slow.Requests), down: short(slow.Down), trouble: short(slow.Trouble), until: now.Add(s.opts.WarnFor),
		}
	}
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
			nodes = append(nodes, Node{
				Workflow: process.Workflow, Name: process.Node, Warnings: s.warnings(version, process.Process),
			})
		}
		nodes[i].Replicas = append(nodes[i].Replicas, Replica{
			Index: process.Replica, State: process.State, Reason: process.Reason, LastLogLine: plain(process.LastLogLine),
			Restarts: process.Restarts, Since: process.Since,
		})
	}
	for i := range nodes {
		nodes[i].judge()
	}
	return nodes, nil
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

// warnings are what the processes of a node say of themselves.
func (s *Service) warnings(version string, process logbook.Process) []string {
	workflow, _, of := strings.Cut(process.Name, ".") // mapped, as processes are called
	if !of {                                          // it is of no workflow: the entrypoint
		workflow = process.Node
	}
	now := time.Now()
	var requests []SlowRequest
	var warnings []string
	more := 0
	s.mu.Lock()
	for key, n := range s.slow {
		if key.version == version && key.workflow == workflow && key.node == process.Node && now.Before(n.until) {
			requests = append(requests, n.requests...)
			if n.down != "" {
				warnings = append(warnings, "its process "+n.down+", and is being started again")
			}
			if n.trouble != "" && !slices.Contains(warnings, n.trouble) {
				warnings = append(warnings, n.trouble)
			}
		}
	}
	s.mu.Unlock()
	slices.Sort(warnings)
	slices.SortFunc(requests, func(a, b SlowRequest) int {
		if a.Running != b.Running {
			return int(b.Running.Milliseconds() - a.Running.Milliseconds())
		}
		return strings.Compare(a.ID, b.ID)
	})
	if len(requests) > maxWarnings {
		more = len(requests) - maxWarnings
		requests = requests[:maxWarnings]
	}
	for _, request := range requests {
		warnings = append(warnings, fmt.Sprintf("request %s runs for %d s, longer than the workflow's timeout",
			request.ID, int(request.Running.Seconds())))
	}
	if more > 0 {
		warnings = append(warnings, fmt.Sprintf("%d more requests run longer than the workflow's timeout", more))
	}
	return warnings
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
