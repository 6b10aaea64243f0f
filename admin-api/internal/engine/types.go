package engine

import (
	"time"
)

// Runtime is a runtime as it is stored.
type Runtime struct {
	Name        string
	Description string
	Created     time.Time
	Revision    int64  // raised by every change of this document
	Published   string // name of the published version; "": none
	Deleting    bool   // it is being removed with everything in it
	Versions    []Entry
	Gone        []Gone     // the versions that were removed last, the oldest first; bounded
	Outbox      []Activity // what is not yet in the list of activities
}

// Entry is what is asked of a version.
type Entry struct {
	Name     string
	Digest   string // "" while it is being created
	Created  time.Time
	Revision int64  // the runtime's, at the last change that concerned this version
	Lease    *Lease // it is being created
	Running  bool   // it was asked to run
	Asked    bool   // it was asked to run at some time: something of it may be there
	Discard  bool   // when it has stopped: drop what is still stored
	Deleting bool   // it is being removed
	Config   int64  // revision of the values it was told to run with
	Missing  []string
}

// Lease says who is creating a version, and until when that is believed.
type Lease struct {
	Holder string // an id of the upload
	Until  time.Time
}

// Gone is a version that was removed.
type Gone struct {
	Name     string
	Revision int64 // the runtime's, at the removal
}

// Version is what never changes of a version.
type Version struct {
	Runtime     string
	Name        string
	DisplayName string
	Description string
	Digest      string
	Size        int64 // bytes of all files
	Created     time.Time
	Creator     string
	Variables   []string // configuration variables it declares
	Files       []string // configuration files it declares
	Workflows   []Workflow
	Warnings    []string
}

// Workflow is one graph of a version, as the manifest declares it.
type Workflow struct {
	Name      string
	RPC       string
	Exitpoint string
	Nodes     []WorkflowNode
}

// WorkflowNode is a node, as the manifest declares it.
type WorkflowNode struct {
	Name          string
	Src           string
	Subscriptions []string
	Replicas      int
}

// Config is the configuration values of a version, sealed.
type Config struct {
	Revision int64 // raised by every change; 0: nothing was ever set
	Values   map[string]Value
}

// Value is one value.
type Value struct {
	Sealed  []byte
	Set     time.Time
	By      string
	Version string // the version it was taken over from; "": it was set here
}

// Activity is something that somebody did.
type Activity struct {
	Time     time.Time
	Actor    string
	Action   string
	Runtime  string
	Version  string // "" where it concerned the runtime
	Comment  string
	Revision int64 // the runtime's, after it; with the runtime's name and creation, its identity
	Details  map[string]string
}

// The actions.
const (
	ActionRuntimeCreate    = "runtime.create"
	ActionRuntimeUpdate    = "runtime.update"
	ActionVersionCreate    = "version.create"
	ActionVersionDelete    = "version.delete"
	ActionVersionStart     = "version.start"
	ActionVersionStop      = "version.stop"
	ActionVersionPublish   = "version.publish"
	ActionVersionUnpublish = "version.unpublish"
	ActionConfigUpdate     = "config.update"
)

// State is what is observed of a version.
type State string

// The states of a version.
const (
	Creating  State = "CREATING"
	Stopped   State = "STOPPED"
	Starting  State = "STARTING"
	Started   State = "STARTED"
	Published State = "PUBLISHED"
	Stopping  State = "STOPPING"
	Failed    State = "ERROR"
	Unknown   State = "UNKNOWN"
	Deleting  State = "DELETING"
)

// RuntimeState is what is observed of a runtime.
type RuntimeState string

// The states of a runtime.
const (
	RuntimeCreating RuntimeState = "CREATING"
	RuntimeReady    RuntimeState = "READY"
	RuntimeFailed   RuntimeState = "ERROR"
	RuntimeDeleting RuntimeState = "DELETING"
	RuntimeUnknown  RuntimeState = "UNKNOWN"
)

// RuntimeView is a runtime as it is shown.
type RuntimeView struct {
	Runtime
	State    RuntimeState
	Reason   string // why, for a person
	Observed time.Time
	GRPC     string // the stable address, host:port
	HTTP     string // the stable address, http://host:port
}

// VersionView is a version as it is shown. While it is being created it has a name and nothing else of [Version].
type VersionView struct {
	Version
	Entry          Entry
	State          State
	Reason         string // why, for a person
	Observed       time.Time
	Published      bool
	StoredMessages int64
	GRPC           string // where it answers inside, host:port
	HTTP           string // where it answers inside, http://host:port
}

// ConfigView tells what a version declares and what of it is set; never a value.
type ConfigView struct {
	Runtime  string
	Version  string
	Revision int64 // the version's
	Keys     []ConfigKey
}

// ConfigKey is one declared value.
type ConfigKey struct {
	Key       string
	File      bool // a file, else a variable
	Set       bool
	Time      time.Time
	By        string
	Inherited string // name of the version it was taken over from; "": it was set here
}
