// Package enginetest holds the suite that every store of the engine passes, and a store in memory for tests of the engine,
// which passes it as well.
package enginetest

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

// Memory is an engine.Store that forgets everything with the process. It is safe for concurrent use.
type Memory struct {
	mu         sync.Mutex
	away       error
	ledgers    map[string]engine.Ledger
	details    map[record]engine.Details
	configs    map[config]engine.Config
	activities map[activity]engine.Activity
}

type record struct {
	runtime string
	key     engine.Key
}

type config struct {
	record
	id string
}

type activity struct {
	runtime  string
	revision int64
}

var _ engine.Store = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{
		ledgers: map[string]engine.Ledger{}, details: map[record]engine.Details{},
		configs: map[config]engine.Config{}, activities: map[activity]engine.Activity{},
	}
}

// Away makes every call fail with fault.Unavailable, as if the store did not answer, or ends that.
func (m *Memory) Away(away bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.away = nil
	if away {
		m.away = fault.New(fault.Unavailable, "the store does not answer; try again")
	}
}

// enter locks the store. Its error is that of who comes while the store is away or after their context has ended.
func (m *Memory) enter(ctx context.Context) error {
	m.mu.Lock()
	err := m.away
	if err == nil && ctx.Err() != nil {
		err = fault.Wrap(fault.Unavailable, ctx.Err(), "the store does not answer; try again")
	}
	if err != nil {
		m.mu.Unlock()
	}
	return err
}

// CreateLedger is part of engine.Ledgers.
func (m *Memory) CreateLedger(ctx context.Context, ledger engine.Ledger) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if _, ok := m.ledgers[ledger.Name]; ok {
		return fault.New(fault.AlreadyExists, "there is a runtime %s", ledger.Name)
	}
	m.ledgers[ledger.Name] = ledger.Clone()
	return nil
}

// Ledger is part of engine.Ledgers.
func (m *Memory) Ledger(ctx context.Context, runtime string) (engine.Ledger, error) {
	if err := m.enter(ctx); err != nil {
		return engine.Ledger{}, err
	}
	defer m.mu.Unlock()
	ledger, ok := m.ledgers[runtime]
	if !ok {
		return engine.Ledger{}, noLedger(runtime)
	}
	return ledger.Clone(), nil
}

// Ledgers is part of engine.Ledgers.
func (m *Memory) Ledgers(ctx context.Context, prefix, after string, limit int) ([]engine.Ledger, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var found []engine.Ledger
	for _, name := range slices.Sorted(maps.Keys(m.ledgers)) {
		if len(found) >= limit {
			break
		}
		if ledger := m.ledgers[name]; name > after && strings.HasPrefix(name, prefix) {
			found = append(found, ledger.Clone())
		}
	}
	return found, nil
}

// ReplaceLedger is part of engine.Ledgers.
func (m *Memory) ReplaceLedger(ctx context.Context, ledger engine.Ledger, was int64) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if err := m.guard(ledger.Name, was); err != nil {
		return err
	}
	m.ledgers[ledger.Name] = ledger.Clone()
	return nil
}

// DeleteLedger is part of engine.Ledgers.
func (m *Memory) DeleteLedger(ctx context.Context, runtime string, was int64) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	if err := m.guard(runtime, was); err != nil {
		return err
	}
	delete(m.ledgers, runtime)
	return nil
}

func (m *Memory) guard(runtime string, was int64) error {
	stored, ok := m.ledgers[runtime]
	if !ok {
		return noLedger(runtime)
	}
	if stored.Revision != was {
		return fault.New(fault.Conflict, "runtime %s is no longer at revision %d", runtime, was)
	}
	return nil
}

func noLedger(runtime string) error {
	return fault.New(fault.NotFound, "there is no runtime %s", runtime)
}

// PutActivity is part of engine.Journal.
func (m *Memory) PutActivity(ctx context.Context, a engine.Activity) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	id := activity{runtime: a.Runtime, revision: a.Revision}
	if _, ok := m.activities[id]; !ok {
		a.Details = maps.Clone(a.Details)
		m.activities[id] = a
	}
	return nil
}

// Activities is part of engine.Journal.
func (m *Memory) Activities(ctx context.Context, query engine.ActivityQuery) ([]engine.Activity, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var found []engine.Activity
	for id, a := range m.activities {
		if id.runtime == query.Runtime && (query.Before == 0 || id.revision < query.Before) &&
			(query.Version == "" || a.Version == query.Version) && (query.Action == "" || a.Action == query.Action) {
			a.Details = maps.Clone(a.Details)
			found = append(found, a)
		}
	}
	slices.SortFunc(found, func(a, b engine.Activity) int { return int(b.Revision - a.Revision) })
	return found[:min(len(found), max(query.Limit, 0))], nil
}
