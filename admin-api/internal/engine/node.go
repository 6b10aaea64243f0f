package engine

import "time"

// NodeState is what a node or one of its processes does.
type NodeState int

// The states of nodes.
const (
	NodeUnknown NodeState = iota // it cannot be observed now
	NodeStopped
	NodeStarting
	NodeReady
	NodeFailed
)

// Entrypoint is the name under which a version's entrypoint is shown among its nodes.
const Entrypoint = "entrypoint"

// Node is what is observed of a node.
type Node struct {
	Workflow    string // as the manifest writes it; empty for the entrypoint
	Name        string // as the manifest writes it, or Entrypoint
	State       NodeState
	Reason      string
	LastLogLine string
	Replicas    []Replica
	Warnings    []string
	Load                       // of the entrypoint: of all workflows
	Workflows   []WorkflowLoad // of the entrypoint
}

// Load is what waits, and what has been counted of messages and calls that waited too long.
type Load struct {
	Waiting    int64         // messages that are stored for the node and not handled yet; calls that wait for their answers
	Oldest     time.Duration // how long the oldest of them has waited
	Expired    int64         // messages that were dropped because their callers had gone
	Refused    int64         // calls that were refused because they could not have been answered in time
	Unanswered int64         // calls whose time was over without an answer; told of workflows only
}

// WorkflowLoad is the load of a workflow.
type WorkflowLoad struct {
	Workflow string // as the manifest writes it
	Load
}

// Replica is what is observed of one process of a node.
type Replica struct {
	Index       int
	State       NodeState
	Reason      string
	LastLogLine string
	Restarts    int
	StateTime   time.Time
}

// LogLevel is how grave a line is.
type LogLevel int

// The levels. As a condition, the zero value means all of them.
const (
	LogDebug LogLevel = iota + 1
	LogInfo
	LogWarn
	LogError
)

// LogQuery says which lines; all conditions hold at once.
type LogQuery struct {
	Version     string // mapped
	Start, End  time.Time
	MinLevel    LogLevel
	Nodes       []string
	Workflow    string
	Text        string
	RequestID   string
	OldestFirst bool   // of a search
	Size        int    // of a page of a search
	Token       string // of a page of a search
	Last        int    // of a tail: begin with so many of the last lines
}

// LogEntry is a line.
type LogEntry struct {
	Time      time.Time
	Level     LogLevel
	Workflow  string
	Node      string
	Replica   int
	Message   string
	RequestID string
	Fields    map[string]any // what else the line told, as of JSON
}

// LogPage is a page of lines.
type LogPage struct {
	Entries   []LogEntry
	NextToken string
}
