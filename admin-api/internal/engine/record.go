package engine

import (
	"maps"
	"time"
)

// Details are what a version's manifest says. They are written once and never changed.
type Details struct {
	Runtime string
	Key     Key

	DisplayName string // as the manifest writes it
	Description string
	Variables   []string // keys of the configuration variables it declares
	Files       []string // keys of the configuration files it declares
	Workflows   []Workflow
	Warnings    []string // what is worth knowing and keeps nothing from running
}

// Workflow is one graph of a version, as the manifest declares it.
type Workflow struct {
	Name      string
	RPC       string // that it answers
	Exitpoint string // the node whose output answers the caller
	Nodes     []WorkflowNode
}

// WorkflowNode is a node as the manifest declares it.
type WorkflowNode struct {
	Name          string
	Source        string // path of its code in the package
	Subscriptions []string
	Replicas      int
}

// Config is a version's configuration as of one of its changes. It is written once and never changed: a change writes
// another one and has the entry name it.
type Config struct {
	Runtime  string
	Key      Key
	ID       string // unique
	Revision int64  // that the runtime was to have with it
	Settings []Setting
}

// Setting is one value of a configuration.
type Setting struct {
	Key           string
	Kind          ConfigKind
	Sealed        []byte // the value, see Sealer
	UpdateTime    time.Time
	Updater       string // who set it
	InheritedFrom string // name of the version it was taken over from; empty: it was set here
}

// ConfigKind is what a value becomes for a node.
type ConfigKind int

// The kinds of values.
const (
	Variable ConfigKind = iota + 1 // an environment variable
	File                           // a file, whose path is in the environment variable of that name
)

// String is the kind as a word.
func (k ConfigKind) String() string {
	if k == File {
		return "file"
	}
	return "variable"
}

// Activity is something that somebody did. Runtime and Revision identify it.
type Activity struct {
	Runtime  string
	Revision int64 // the runtime's revision after it
	Time     time.Time
	Actor    string
	Action   Action
	Version  string            // name; empty where it concerned the runtime
	Comment  string            // why, in the words of who did it
	Details  map[string]string // what else is to be told
}

func (a Activity) clone() Activity {
	a.Details = maps.Clone(a.Details)
	return a
}

// Action is what somebody did.
type Action string

// The actions.
const (
	ActionCreateRuntime    Action = "runtime.create"
	ActionUpdateRuntime    Action = "runtime.update"
	ActionCreateVersion    Action = "version.create"
	ActionDeleteVersion    Action = "version.delete"
	ActionStartVersion     Action = "version.start"
	ActionStopVersion      Action = "version.stop"
	ActionPublishVersion   Action = "version.publish"
	ActionUnpublishVersion Action = "version.unpublish"
	ActionUpdateConfig     Action = "config.update"
)
