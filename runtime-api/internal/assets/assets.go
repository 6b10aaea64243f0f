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
	// Apply makes the assets of the plan's version exactly those that the plan names. Applying a plan twice changes
	// nothing. fault.Precondition: something can neither be kept nor changed.
	Apply(ctx context.Context, p *plan.Plan) error
	// Remove removes all assets of the version and returns how many streams that were; none is no error.
	Remove(ctx context.Context, version string) (int, error)
}

// Request says what to prepare.
type Request struct {
	FileName     string   // of the manifest; appears in complaints
	Content      []byte   // of the manifest
	PackageFiles []string // paths in the package: what the manifest leaves open is found among them; empty: it is believed
	Overrides    Overrides
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
}

// Service prepares and removes versions, one at a time, so that two callers cannot work against each other.
type Service struct {
	broker Broker
	turn   chan struct{} // holds one token; whoever has it works on the broker
}

// NewService returns a service on top of a broker.
func NewService(broker Broker) *Service {
	return &Service{broker: broker, turn: make(chan struct{}, 1)}
}

// Prepare makes what the version needs exist.
//
// Kinds of error: fault.Invalid, with all that is wrong with the manifest or the overrides; those of Broker.Apply.
func (s *Service) Prepare(ctx context.Context, request Request) (*Prepared, error) {
	m, warnings, err := request.read()
	if err != nil {
		return nil, err
	}
	if err := request.Overrides.apply(m); err != nil {
		return nil, err
	}
	p := plan.New(m)
	err = s.alone(ctx, func() error { return s.broker.Apply(ctx, p) })
	if err != nil {
		return nil, fmt.Errorf("prepare version %s: %w", m.ID, err)
	}
	return &Prepared{Manifest: m, Plan: p, Warnings: warnings}, nil
}

var versionID = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// Remove removes all that exists for the version, which is named as Prepared.Plan.Version does, and returns how many
// streams that were. A version that nothing exists for is no error.
//
// Kinds of error: fault.Invalid for a name that no version can have; those of Broker.Remove.
func (s *Service) Remove(ctx context.Context, version string) (int, error) {
	if !versionID.MatchString(version) {
		return 0, invalid("version", fmt.Sprintf("%q is not the name of a version: want %s", version, versionID))
	}
	removed := 0
	err := s.alone(ctx, func() (err error) {
		removed, err = s.broker.Remove(ctx, version)
		return err
	})
	if err != nil {
		return removed, fmt.Errorf("remove version %s: %w", version, err)
	}
	return removed, nil
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
