package enginetest

import (
	"context"
	"maps"
	"slices"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

// PutDetails is part of engine.Records.
func (m *Memory) PutDetails(ctx context.Context, details engine.Details) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	id := record{runtime: details.Runtime, key: details.Key}
	if _, ok := m.details[id]; !ok {
		m.details[id] = cloneDetails(details)
	}
	return nil
}

// Details is part of engine.Records.
func (m *Memory) Details(ctx context.Context, runtime string, keys []engine.Key) ([]engine.Details, error) {
	if err := m.enter(ctx); err != nil {
		return nil, err
	}
	defer m.mu.Unlock()
	var found []engine.Details
	for _, key := range keys {
		if details, ok := m.details[record{runtime: runtime, key: key}]; ok {
			found = append(found, cloneDetails(details))
		}
	}
	return found, nil
}

// PutConfig is part of engine.Records.
func (m *Memory) PutConfig(ctx context.Context, c engine.Config) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	id := config{record: record{runtime: c.Runtime, key: c.Key}, id: c.ID}
	if _, ok := m.configs[id]; !ok {
		m.configs[id] = cloneConfig(c)
	}
	return nil
}

// Config is part of engine.Records.
func (m *Memory) Config(ctx context.Context, runtime string, key engine.Key, id string) (engine.Config, error) {
	if err := m.enter(ctx); err != nil {
		return engine.Config{}, err
	}
	defer m.mu.Unlock()
	c, ok := m.configs[config{record: record{runtime: runtime, key: key}, id: id}]
	if !ok {
		return engine.Config{}, fault.New(fault.NotFound, "version %s of runtime %s has no configuration %s", key.Version, runtime, id)
	}
	return cloneConfig(c), nil
}

// PruneConfigs is part of engine.Records.
func (m *Memory) PruneConfigs(ctx context.Context, runtime string, key engine.Key, through int64, keep string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	maps.DeleteFunc(m.configs, func(id config, c engine.Config) bool {
		return id.record == record{runtime: runtime, key: key} && c.Revision <= through && id.id != keep
	})
	return nil
}

// DeleteRecords is part of engine.Purger.
func (m *Memory) DeleteRecords(ctx context.Context, runtime string, key engine.Key) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	gone := record{runtime: runtime, key: key}
	delete(m.details, gone)
	maps.DeleteFunc(m.configs, func(id config, _ engine.Config) bool { return id.record == gone })
	return nil
}

// Purge is part of engine.Purger.
func (m *Memory) Purge(ctx context.Context, runtime string) error {
	if err := m.enter(ctx); err != nil {
		return err
	}
	defer m.mu.Unlock()
	maps.DeleteFunc(m.details, func(id record, _ engine.Details) bool { return id.runtime == runtime })
	maps.DeleteFunc(m.configs, func(id config, _ engine.Config) bool { return id.runtime == runtime })
	maps.DeleteFunc(m.activities, func(id activity, _ engine.Activity) bool { return id.runtime == runtime })
	return nil
}

func cloneDetails(d engine.Details) engine.Details {
	d.Variables, d.Files, d.Warnings = slices.Clone(d.Variables), slices.Clone(d.Files), slices.Clone(d.Warnings)
	d.Workflows = slices.Clone(d.Workflows)
	for i := range d.Workflows {
		nodes := slices.Clone(d.Workflows[i].Nodes)
		for j := range nodes {
			nodes[j].Subscriptions = slices.Clone(nodes[j].Subscriptions)
		}
		d.Workflows[i].Nodes = nodes
	}
	return d
}

func cloneConfig(c engine.Config) engine.Config {
	c.Settings = slices.Clone(c.Settings)
	for i := range c.Settings {
		c.Settings[i].Sealed = slices.Clone(c.Settings[i].Sealed)
	}
	return c
}
