// Package lifecycle is the domain of k8s-manager: what should be of runtimes and versions, what is observed of them, and
// the one port, Cluster, behind which they live. It remembers nothing that could be asked of the cluster, and knows
// neither pods nor processes.
package lifecycle

import (
	"context"
	"maps"
	"slices"
	"time"
)

// DefaultDrain is how long stopping waits for callers, and then for streams to run empty, where nobody says.
const DefaultDrain = 30 * time.Second

// Runtime is what should be of a runtime.
type Runtime struct {
	Name             string
	Revision         int64  // of what is desired, from 1
	PublishedVersion string // that the stable address leads to as soon as it is ready; empty: to none
}

// Version is what should be of a version.
type Version struct {
	Runtime   string
	Name      string // mapped
	Revision  int64  // of what is desired, from 1
	Digest    string // identity of its package: 64 lower-case hexadecimal digits
	Running   bool
	Discard   bool              // once it does not run: drop the messages that are still stored
	Variables map[string]string // configuration variables by key; secret
	Files     map[string][]byte // configuration files by key; secret
	Drain     time.Duration     // how long stopping waits for callers, and then for streams; 0: DefaultDrain
}

// DrainTime is how long stopping waits at most, twice.
func (v Version) DrainTime() time.Duration {
	if v.Drain == 0 {
		return DefaultDrain
	}
	return v.Drain
}

// Phase is what a runtime or a version does.
type Phase int

// The phases. Creating, Ready and Deleting are those of runtimes; Stopped, Starting, Started and Stopping are those of
// versions; Error is in both.
const (
	Creating Phase = iota + 1 // its base components are not ready yet
	Ready                     // they are
	Deleting                  // it is being removed
	Stopped                   // nothing of it runs
	Starting                  // it should run, and not all of it is ready
	Started                   // all of it is ready
	Stopping                  // it should not run, and something of it still does, or what it leaves stored is not known yet
	Error                     // it is not what it should be: the reason tells; it is tried on
)

// String is the phase as a word.
func (p Phase) String() string {
	names := [...]string{"unknown", "creating", "ready", "deleting", "stopped", "starting", "started", "stopping", "error"}
	if p < 0 || int(p) >= len(names) {
		return names[0]
	}
	return names[p]
}

// RuntimeStatus is what is observed of a runtime.
type RuntimeStatus struct {
	Name              string
	Phase             Phase
	Reason            string // for a person
	Revision          int64  // that was applied last
	PublishedVersion  string // that the stable address leads to now; empty: to none
	GRPCAddress       string // the stable address for gRPC, host:port
	HTTPAddress       string // the stable address for HTTP, http://host:port
	RuntimeAPIAddress string // where its runtime-api answers gRPC, host:port
	Versions          []VersionStatus
	ObserveTime       time.Time
}

// VersionStatus is what is observed of a version.
type VersionStatus struct {
	Name           string
	Phase          Phase
	Reason         string // for a person who has to act
	Revision       int64  // that was applied last
	Digest         string // of the package that runs, or ran last
	StoredMessages int64  // that were stored and not handled when it stopped
	GRPCAddress    string // where its entrypoint answers gRPC, host:port; empty while it does not
	HTTPAddress    string // where its entrypoint answers HTTP, http://host:port; empty while it does not
}

// same tells whether two observations show the same.
func (s RuntimeStatus) same(other RuntimeStatus) bool {
	versions, others := s.Versions, other.Versions
	s.Versions, other.Versions = nil, nil
	s.ObserveTime, other.ObserveTime = time.Time{}, time.Time{}
	return s.equalHead(other) && slices.Equal(versions, others)
}

func (s RuntimeStatus) equalHead(other RuntimeStatus) bool {
	return s.Name == other.Name && s.Phase == other.Phase && s.Reason == other.Reason && s.Revision == other.Revision &&
		s.PublishedVersion == other.PublishedVersion && s.GRPCAddress == other.GRPCAddress &&
		s.HTTPAddress == other.HTTPAddress && s.RuntimeAPIAddress == other.RuntimeAPIAddress
}

// Equal tells whether two desired states are the same, the revision included.
func (v Version) Equal(other Version) bool {
	return v.Revision == other.Revision && v.SameWish(other)
}

// SameWish tells whether two desired states ask for the same, whatever their revisions.
func (v Version) SameWish(other Version) bool {
	return v.Runtime == other.Runtime && v.Name == other.Name && v.Digest == other.Digest && v.Running == other.Running &&
		v.Discard == other.Discard && v.Drain == other.Drain && maps.Equal(v.Variables, other.Variables) &&
		maps.EqualFunc(v.Files, other.Files, slices.Equal[[]byte])
}

// Cluster is where runtimes live: a Kubernetes cluster, or this machine. It is level-triggered: what should be is recorded,
// and what is follows by itself, tried again whenever something is in the way, also across restarts of this program.
//
// Names and values have been checked (see Manager). An Apply returns as soon as what it asks for is recorded where it
// survives this program; when it returns an error, nothing is recorded. One whose revision is lower than the recorded one
// is refused as CheckRevision says, in one step with the recording; the same one again, or a higher one, is recorded. What
// is recorded as deleted is forgotten with its revision once the deletion is over; an Apply before that is refused
// (fault.Precondition).
type Cluster interface {
	Projector
	Observer
}

// Projector records what should be. What does not answer is fault.Unavailable.
type Projector interface {
	ApplyRuntime(ctx context.Context, desired Runtime) error
	// DeleteRuntime begins to remove a runtime with everything in it. Deleting what is not there, or is being deleted,
	// succeeds.
	DeleteRuntime(ctx context.Context, name string) error
	// ApplyVersion answers fault.NotFound where the runtime is not there.
	ApplyVersion(ctx context.Context, desired Version) error
	// DeleteVersion removes what is left of a version, its broker's assets included, and returns when that is recorded.
	// fault.Precondition: it runs. Deleting what is not there succeeds.
	DeleteVersion(ctx context.Context, runtime, version string) error
}

// Observer tells what is.
type Observer interface {
	// Runtimes names those that are there, in any order.
	Runtimes(ctx context.Context) ([]string, error)
	// Observe looks at a runtime now, its versions sorted by name. fault.NotFound: there is no such runtime.
	Observe(ctx context.Context, runtime string) (RuntimeStatus, error)
	// Notify has changed called with the name of a runtime whenever what Observe answers for it may have changed since, until
	// the function that Notify returns is called. changed returns at once.
	Notify(changed func(runtime string)) (stop func())
}
