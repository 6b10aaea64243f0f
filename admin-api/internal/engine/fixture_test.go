package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
	"github.com/konstellation-io/kre/kit/fault"
)

const patience = time.Minute

// fixture is an engine that runs, over a store in memory.
type fixture struct {
	*engine.Engine
	world *enginetest.World
	store *enginetest.Memory
	ctx   context.Context
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{world: enginetest.NewWorld(), store: enginetest.NewMemory()}
	f.Engine = f.replica(t)
	f.ctx = engine.WithActor(t.Context(), "ada")
	return f
}

// replica starts another engine over the same store and world.
func (f *fixture) replica(t *testing.T) *engine.Engine {
	t.Helper()
	e := engine.New(zap.NewNop(), engine.Ports{Store: f.store, Manager: f.world, Runtimes: f.world, Calls: f.world, Sealer: enginetest.Seal{}},
		engine.Options{Lease: 300 * time.Millisecond, Assert: 50 * time.Millisecond, Poll: 20 * time.Millisecond, PageKey: []byte("key")})
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	t.Cleanup(func() { cancel(); require.NoError(t, <-ended) })
	eventually(t, e.Ready)
	return e
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 2*time.Millisecond)
}

// create makes a runtime with these versions: each a name and the variables it declares.
func (f *fixture) create(t *testing.T, runtime string, packages ...string) {
	t.Helper()
	_, err := f.CreateRuntime(f.ctx, runtime, "", "")
	require.NoError(t, err)
	for _, content := range packages {
		_, err := f.UploadVersion(f.ctx, runtime, "", strings.NewReader(content))
		require.NoError(t, err)
	}
}

func (f *fixture) state(t *testing.T, runtime, version string) engine.State {
	t.Helper()
	shown, err := f.GetVersion(f.ctx, runtime, version)
	require.NoError(t, err)
	return shown.State
}

func (f *fixture) start(t *testing.T, runtime, version string) {
	t.Helper()
	_, err := f.StartVersion(f.ctx, engine.Transition{Runtime: runtime, Version: version})
	require.NoError(t, err)
	eventually(t, func() bool { return f.state(t, runtime, version) == engine.StateStarted })
}

func requireFault(t *testing.T, err error, kind fault.Kind, reason string) fault.Error {
	t.Helper()
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, kind, f.Kind, "%v", err)
	require.Equal(t, "ERROR_REASON_"+reason, f.Reason, "%v", err)
	return *f
}
