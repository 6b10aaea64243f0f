package fault_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
)

func TestTheKindIsThatOfTheOutermostFault(t *testing.T) {
	inner := fault.New(fault.NotFound, "no such thing")
	require.Equal(t, fault.NotFound, fault.KindOf(inner))
	require.Equal(t, fault.NotFound, fault.KindOf(fmt.Errorf("look: %w", inner)))
	require.Equal(t, fault.Unavailable, fault.KindOf(fault.Wrap(fault.Unavailable, inner, "try again")))
	require.Equal(t, fault.Internal, fault.KindOf(errors.New("anything else")))
}

func TestTheCauseIsForTheLogOnly(t *testing.T) {
	cause := errors.New("dial tcp: refused")
	err := fault.Wrap(fault.Unavailable, cause, "the broker at %s is away", "here")
	require.ErrorIs(t, err, cause)
	require.EqualError(t, err, "the broker at here is away: dial tcp: refused")
	require.Equal(t, "the broker at here is away", err.Message)
}

func TestAReasonTellsAProgramWhatHappened(t *testing.T) {
	err := fault.New(fault.Precondition, "it is stopped").For("WRONG_STATE", "version", "v1", "state", "STOPPED", "left over")
	require.Equal(t, "WRONG_STATE", err.Reason)
	require.Equal(t, map[string]string{"version": "v1", "state": "STOPPED"}, err.Metadata)
	require.Nil(t, fault.New(fault.Conflict, "again").For("CONFLICT").Metadata)
}
