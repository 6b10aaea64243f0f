package budget_test

import (
	"context"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/fault"
)

func TestWhoTakesWaitsForWhoGivesBack(t *testing.T) {
	b := budget.New(100)
	first, second := b.Share(), b.Share()
	require.NoError(t, first.Grow(t.Context(), 80))
	require.NoError(t, first.Grow(t.Context(), 50), "it has as much")
	taken := make(chan error, 1)
	go func() { taken <- second.Grow(context.Background(), 60) }()
	first.Shrink(40)
	require.NoError(t, <-taken)
	require.EqualValues(t, 60, second.Held())
}

func TestWhatIsMoreThanThereIsIsRefusedAtOnce(t *testing.T) {
	err := budget.New(100).Share().Grow(t.Context(), 101)
	require.Equal(t, fault.Exhausted, fault.KindOf(err))
}

func TestWhoHasGoneWaitsNoLonger(t *testing.T) {
	b := budget.New(100)
	require.NoError(t, b.Share().Grow(t.Context(), 100))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, b.Share().Grow(ctx, 1), context.Canceled)
}

func TestWhatHasEndedHoldsNothingAndTakesNothing(t *testing.T) {
	b := budget.New(100)
	ended := b.Share()
	require.NoError(t, ended.Grow(t.Context(), 100))
	ended.Close()
	require.Error(t, ended.Grow(t.Context(), 1))
	require.NoError(t, b.Share().Grow(t.Context(), 100))
}

func TestWithoutABudgetNothingIsCounted(t *testing.T) {
	var none *budget.Budget
	require.NoError(t, none.Share().Grow(t.Context(), 1<<50))
}
