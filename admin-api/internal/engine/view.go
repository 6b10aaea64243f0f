package engine

import "time"

// RuntimeState is what is shown of a runtime.
type RuntimeState int

// The states of runtimes.
const (
	RuntimeCreating RuntimeState = iota + 1
	RuntimeReady
	RuntimeError
	RuntimeDeleting
	RuntimeUnknown
)

// Runtime is a runtime as it is shown.
type Runtime struct {
	Name        string
	Description string
	Revision    int64
	CreateTime  time.Time
	State       RuntimeState
	StateReason string    // for a person who has to act; empty where there is nothing to do
	ObserveTime time.Time // zero: never observed
	Published   string    // name of the published version, or empty
	GRPCAddress string
	HTTPAddress string
}

// State is what is shown of a version.
type State int

// The states of versions, as contracts name them.
const (
	StateCreating State = iota + 1
	StateStopped
	StateStarting
	StateStarted
	StatePublished
	StateStopping
	StateError
	StateUnknown
	StateDeleting
)

// String is the state as people see it.
func (s State) String() string {
	names := [...]string{"", "CREATING", "STOPPED", "STARTING", "STARTED", "PUBLISHED", "STOPPING", "ERROR", "UNKNOWN", "DELETING"}
	if s < 0 || int(s) >= len(names) {
		return ""
	}
	return names[s]
}

// Version is a version as it is shown.
type Version struct {
	Runtime        string
	Name           string // mapped
	DisplayName    string // as the manifest writes it
	Description    string
	Digest         string
	Size           int64 // bytes
	CreateTime     time.Time
	Creator        string
	Revision       int64
	State          State
	StateReason    string
	ObserveTime    time.Time // zero: never observed
	Published      bool
	Running        bool
	MissingConfig  []string
	Workflows      []Workflow
	Warnings       []string
	StoredMessages int64
	GRPCAddress    string
	HTTPAddress    string
}

// ConfigKey is what is shown of a declared configuration value.
type ConfigKey struct {
	Key           string
	Kind          ConfigKind
	Set           bool
	UpdateTime    time.Time
	Updater       string
	InheritedFrom string // name of a version
}

// ConfigView is a version's configuration as it is shown.
type ConfigView struct {
	Runtime  string
	Version  string
	Keys     []ConfigKey // variables first, each kind by name
	Revision int64       // the version's
}

// PageRequest asks for a page of a list.
type PageRequest struct {
	Size   int    // 0: 50; more than 500: 500
	Token  string // of the page before; empty: the first page
	Filter string // terms joined by AND
}

// RuntimePage is a page of runtimes.
type RuntimePage struct {
	Runtimes  []Runtime
	NextToken string
}

// VersionPage is a page of versions.
type VersionPage struct {
	Versions  []Version
	NextToken string
}

// ActivityPage is a page of activities.
type ActivityPage struct {
	Activities []Activity
	NextToken  string
}

// Event is one event of a watch; one of the fields behind Revision is set.
type Event struct {
	Revision       int64 // resume behind it
	Snapshot       *Snapshot
	Runtime        *Runtime
	Version        *Version
	DeletedVersion string
	Deleted        bool // the runtime is gone
}

// Snapshot is a runtime with all its versions.
type Snapshot struct {
	Runtime  Runtime
	Versions []Version // the newest first
}
