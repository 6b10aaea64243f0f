package engine

import (
	"fmt"
	"time"
)

// NodeState is what a node or one of its processes does.
type NodeState string

// The states of a node.
const (
	NodeStopped  NodeState = "STOPPED"
	NodeStarting NodeState = "STARTING"
	NodeReady    NodeState = "READY"
	NodeFailed   NodeState = "FAILED"
	NodeUnknown  NodeState = "UNKNOWN"
)

// Node is what is observed of a node.
type Node struct {
	Workflow    string // "" for the entrypoint
	Name        string
	State       NodeState
	Reason      string
	LastLogLine string
	Replicas    []Replica
	Warnings    []string
}

// Replica is one process of a node.
type Replica struct {
	Index       int
	State       NodeState
	Reason      string
	LastLogLine string
	Restarts    int
	Since       time.Time
}

// Level is how grave a line of a log is.
type Level int

// The levels; AnyLevel as a condition lets everything pass.
const (
	AnyLevel Level = iota
	Debug
	Info
	Warn
	Error
)

// LogQuery says which lines.
type LogQuery struct {
	Version     string
	Start, End  time.Time // zero: no bound; not for a tail
	MinLevel    Level
	Nodes       []string
	Workflow    string
	Text        string
	RequestID   string
	OldestFirst bool
	PageSize    int
	PageToken   string
	Last        int // of a tail: begin with so many of the last lines
}

// LogPage is a page of lines.
type LogPage struct {
	Entries []LogEntry
	Next    string // "": there is no further page
}

// LogEntry is a line.
type LogEntry struct {
	Time      time.Time
	Level     Level
	Workflow  string
	Node      string
	Replica   int
	Message   string
	RequestID string
	Fields    map[string]any
}

// CallError is the answer of a version that is an error.
type CallError struct {
	Code      string // of Connect, e.g. "invalid_argument"
	Message   string
	RequestID string
}

// Error tells the code and the message.
func (e *CallError) Error() string { return fmt.Sprintf("%s: %s", e.Code, e.Message) }
