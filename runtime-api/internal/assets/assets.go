// Package assets prepares and removes what versions need of the runtime's broker. It turns a manifest into a plan and
// has the plan applied; it knows neither the broker's client nor the API's messages.
package assets

import (
	"context"
	"fmt"
	"regexp"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
)

// Broker keeps the assets of versions. Its errors are of kind fault.Unavailable when it does not answer; then the same
// may be asked again.
type Broker interface {
	// Apply makes the assets of the plan's version exactly those that the plan names, in the version's own account where the
	// broker has accounts. Applying a plan twice changes nothing. It returns the content of a credentials file that lets do
	// what the plan's version needs, and nothing else; empty where the broker has no accounts. fault.Precondition: something
	// can neither be kept nor changed; fault.Invalid: the keys are none.
	Apply(ctx context.Context, p *plan.Plan, keys Keys) (credentials string, err error)
	// Release closes what is open for a version whose processes have ended.
	Release(ctx context.Context, version string) error
	// Remove removes all assets of the version and returns how many streams that were; none is no error.
	Remove(ctx context.Context, version string) (int, error)
	// Count counts the messages of a version.
	Count(ctx context.Context, version string) (Messages, error)
	// Discard drops the stored messages of a version and returns how many that were. Dead letters stay.
	Discard(ctx context.Context, version string) (int64, error)
	// Command tells every running entrypoint of a version to do something, and returns what those say that answer in time.
	Command(ctx context.Context, version, command string) ([]Report, error)
}

// Keys are those by which a version is let in at a broker that has accounts: seeds, which are secret.
type Keys struct {
	Account string // the version's own; empty: it is in the runtime's account
	User    string // of its processes
}

// Messages is how many messages of a version are stored.
type Messages struct {
	Stored int64 // and not yet handled by everyone who has to
	Dead   int64 // letters
}

// Report is what an entrypoint says about itself.
type Report struct {
	Instance string `json:"instance"`
	Waiting  int    `json:"waiting"` // callers
	Closed   bool   `json:"closed"`  // it refuses new calls
	Moving   int    `json:"moving"`  // connections that were there at the last move and are still
	Error    string `json:"error"`   // why it does not do what it was told
}

// Request says what to prepare.
type Request struct {
	FileName     string   // of the manifest; appears in complaints
	Content      []byte   // of the manifest
	PackageFiles []string // paths in the package: what the manifest leaves open is found among them; empty: it is believed
	Overrides    Overrides
	Keys         Keys // zero: the broker has no accounts
}

// Overrides take the place of what the manifest says. The zero value overrides nothing.
type Overrides struct {
	DefaultMaxAttempts int           // in workflows whose manifest does not say
	MaxAttempts        int           // in every workflow
	Timeout            time.Duration // in every workflow
}

// Prepared is a version whose assets exist.
type Prepared struct {
	Manifest *manifest.Manifest // with the overrides
	Plan     *plan.Plan
	Warnings manifest.Problems
	// Credentials is the content of a NATS credentials file for the version's processes; empty where the broker has no
	// accounts. Secret.
	Credentials string
}

// Options are what may be other than usual.
type Options struct {
	Forget func(ctx context.Context, version string) error // removes what else is kept of a version; nil: nothing is
}

// Service prepares and removes versions, one at a time, so that two callers cannot work against each other.
type Service struct {
	broker Broker
	opts   Options
	turn   chan struct{} // holds one token; whoever has it works on the broker
}

// NewService returns a service on top of a broker.
func NewService(broker Broker, opts Options) *Service {
	return &Service{broker: broker, opts: opts, turn: make(chan struct{}, 1)}
}

// Prepare makes what the version needs exist.
//
// Kinds of error: fault.Invalid, with all that is wrong with the manifest, the overrides or the keys; those of Broker.Apply.
func (s *Service) Prepare(ctx context.Context, request Request) (*Prepared, error) {
	m, warnings, err := request.read()
	if err != nil {
		return nil, err
	}
	if err := request.Overrides.apply(m); err != nil {
		return nil, err
	}
	prepared := &Prepared{Manifest: m, Plan: plan.New(m), Warnings: warnings}
	err = s.alone(ctx, func() (err error) {
		prepared.Credentials, err = s.broker.Apply(ctx, prepared.Plan, request.Keys)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("prepare version %s: %w", m.ID, err)
	}
	return prepared, nil
}

var versionID = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// Remove removes all that exists for the version, which is named as Prepared.Plan.Version does, and returns how many
// streams that were. A version that nothing exists for is no error.
//
// Kinds of error: fault.Invalid for a name that no version can have; those of Broker.Remove.
func (s *Service) Remove(ctx context.Context, version string) (int, error) {
	if err := checkVersion(version); err != nil {
		return 0, err
	}
	removed := 0
	err := s.alone(ctx, func() (err error) {
		removed, err = s.broker.Remove(ctx, version)
		if err == nil && s.opts.Forget != nil {
			err = s.opts.Forget(ctx, version)
		}
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("remove version %s: %w", version, err)
	}
	return removed, nil
}

func checkVersion(version string) error {
	if versionID.MatchString(version) {
		return nil
	}
	return invalid("version", fmt.Sprintf("%q is not the name of a version: want %s", version, versionID))
}

// Release closes what is open for a version whose processes have ended. Kinds of error: those of Remove.
func (s *Service) Release(ctx context.Context, version string) error {
	if err := checkVersion(version); err != nil {
		return err
	}
	return s.alone(ctx, func() error { return s.broker.Release(ctx, version) })
}

// Count counts the messages of a version. Kinds of error: those of Remove.
func (s *Service) Count(ctx context.Context, version string) (Messages, error) {
	if err := checkVersion(version); err != nil {
		return Messages{}, err
	}
	return s.broker.Count(ctx, version)
}

// Discard drops the stored messages of a version. Kinds of error: those of Remove.
func (s *Service) Discard(ctx context.Context, version string) (int64, error) {
	if err := checkVersion(version); err != nil {
		return 0, err
	}
	return s.broker.Discard(ctx, version)
}

// Command tells the entrypoints of a version "report", "move", "close" or "open". Kinds of error: those of Remove.
func (s *Service) Command(ctx context.Context, version, command string) ([]Report, error) {
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	return s.broker.Command(ctx, version, command)
}

// alone runs work while nobody else does, or returns when ctx ends first.
func (s *Service) alone(ctx context.Context, work func() error) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
		return work()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (o Overrides) apply(m *manifest.Manifest) error {
	switch {
	case o.DefaultMaxAttempts < 0:
		return invalid("overrides.default_max_attempts", fmt.Sprintf("is %d: want at least 1", o.DefaultMaxAttempts))
	case o.MaxAttempts < 0:
		return invalid("overrides.max_attempts", fmt.Sprintf("is %d: want at least 1", o.MaxAttempts))
	case o.Timeout < 0:
		return invalid("overrides.timeout", fmt.Sprintf("is %s: want more than 0s", o.Timeout))
	}
	for i := range m.Workflows {
		workflow := &m.Workflows[i]
		if o.DefaultMaxAttempts > 0 && !workflow.AttemptsSet {
			workflow.MaxAttempts = o.DefaultMaxAttempts
		}
		if o.MaxAttempts > 0 {
			workflow.MaxAttempts = o.MaxAttempts
		}
		if o.Timeout > 0 {
			workflow.Timeout = o.Timeout
		}
	}
	return nil
}

func invalid(field, message string) error {
	return &fault.Error{Kind: fault.Invalid, Message: field + " " + message, Fields: []fault.Field{{Path: field, Message: message}}}
}
