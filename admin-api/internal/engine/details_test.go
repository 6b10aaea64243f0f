package engine_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
)

// counting counts how many details are read.
type counting struct {
	engine.Store
	read atomic.Int64
}

func (c *counting) Details(ctx context.Context, runtime string, keys []engine.Key) ([]engine.Details, error) {
	c.read.Add(int64(len(keys)))
	return c.Store.Details(ctx, runtime, keys)
}

func TestDetailsAreReadOnceAndThoseOfANameUsedAgainAnew(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 OLD", "v2")
	store := &counting{Store: f.store}
	e := engine.New(zap.NewNop(), engine.Ports{Store: store, Manager: f.world, Runtimes: f.world, Calls: f.world, Sealer: enginetest.Seal{}}, engine.Options{})
	for range 3 {
		config, err := e.GetConfig(f.ctx, "prod", "v1")
		require.NoError(t, err)
		require.Equal(t, "OLD", config.Keys[0].Key)
		page, err := e.ListVersions(f.ctx, "prod", engine.PageRequest{})
		require.NoError(t, err)
		require.Len(t, page.Versions, 2)
	}
	require.EqualValues(t, 2, store.read.Load())

	require.NoError(t, f.DeleteVersion(f.ctx, "prod", "v1", ""))
	eventually(t, func() bool { _, err := f.GetVersion(f.ctx, "prod", "v1"); return err != nil })
	_, err := f.UploadVersion(f.ctx, "prod", "", strings.NewReader("v1 NEW"))
	require.NoError(t, err)
	config, err := e.GetConfig(f.ctx, "prod", "v1")
	require.NoError(t, err)
	require.Equal(t, "NEW", config.Keys[0].Key)
}
