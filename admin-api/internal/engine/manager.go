package engine

import (
	"context"
	"time"
)

// Manager is k8s-manager: it makes what should be, and observes what is. What does not answer is fault.Unavailable.
type Manager interface {
	Projector
	Observer
}

// Projector is told what should be. Each Apply is idempotent. fault.Conflict: a higher revision was applied before.
type Projector interface {
	ApplyRuntime(ctx context.Context, wish RuntimeWish) error
	// ApplyVersion answers fault.NotFound where the manager does not know the runtime.
	ApplyVersion(ctx context.Context, wish VersionWish) error
	// DeleteRuntime begins to remove a runtime. Deleting what is not there succeeds.
	DeleteRuntime(ctx context.Context, runtime string) error
	// DeleteVersion removes what is left of a version. fault.Precondition: it runs. Deleting what is not there succeeds.
	DeleteVersion(ctx context.Context, runtime, version string) error
}

// Observer tells what is.
type Observer interface {
	// ObserveRuntime looks at a runtime now. fault.NotFound: there is no such runtime.
	ObserveRuntime(ctx context.Context, runtime string) (ObservedRuntime, error)
	// WatchRuntimes calls observed with every runtime as it is, then once with Synced, then with each that changes, one call
	// after the other, and returns with the reason when the stream ends, at the latest when ctx does.
	WatchRuntimes(ctx context.Context, observed func(Observation)) error
}

// RuntimeWish is what should be of a runtime.
type RuntimeWish struct {
	Runtime   string
	Revision  int64
	Published string // name of the version that the stable address leads to; empty: to none
}

// VersionWish is what should be of a version.
type VersionWish struct {
	Runtime   string
	Version   string
	Revision  int64
	Digest    string
	Running   bool
	Discard   bool
	Variables map[string]string // only where it runs; secret
	Files     map[string][]byte // only where it runs; secret
}

// Observation is one event of a watch; one field is set.
type Observation struct {
	Runtime *ObservedRuntime // as it is now
	Deleted string           // name of a runtime that is gone
	Synced  bool             // every runtime that is there has been told
	Alive   bool             // nothing has changed for a while
}

// ObservedRuntime is what is observed of a runtime.
type ObservedRuntime struct {
	Name              string
	Phase             Phase  // Making, Ready, Failed or Removing
	Reason            string // for a person
	Revision          int64  // that was applied last
	Published         string // name of the version that the stable address leads to now; empty: to none
	GRPCAddress       string // the stable address, host:port
	HTTPAddress       string // the stable address, http://host:port
	RuntimeAPIAddress string // of its runtime-api, host:port; empty while there is none
	Versions          []ObservedVersion
	ObserveTime       time.Time
}

// ObservedVersion is what is observed of a version.
type ObservedVersion struct {
	Name           string
	Phase          Phase  // Stopped, Starting, Started, Stopping or Failed
	Reason         string // for a person
	Revision       int64  // that was applied last
	Digest         string
	StoredMessages int64
	GRPCAddress    string // host:port, empty while it does not answer
	HTTPAddress    string // http://host:port, empty while it does not answer
}

// Phase is what the manager says that a runtime or a version does.
type Phase int

// The phases.
const (
	PhaseUnknown Phase = iota // one that this program does not know
	Making
	Ready
	Removing
	Stopped
	Starting
	Started
	Stopping
	Failed // of a runtime or of a version
)

// Version returns what is observed of the version of that name, or nil.
func (r *ObservedRuntime) Version(name string) *ObservedVersion {
	for i := range r.Versions {
		if r.Versions[i].Name == name {
			return &r.Versions[i]
		}
	}
	return nil
}
