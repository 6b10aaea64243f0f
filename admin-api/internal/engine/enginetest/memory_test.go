package enginetest_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
	"github.com/konstellation-io/kre/kit/fault"
)

func TestTheStoreInMemoryPassesTheSuite(t *testing.T) {
	enginetest.Run(t, func(*testing.T) engine.Store { return enginetest.NewMemory() })
}

func TestAStoreThatIsAwayIsUnavailable(t *testing.T) {
	m := enginetest.NewMemory()
	m.Away(true)
	_, err := m.Ledger(t.Context(), "prod")
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	m.Away(false)
	_, err = m.Ledger(t.Context(), "prod")
	require.Equal(t, fault.NotFound, fault.KindOf(err))
}
