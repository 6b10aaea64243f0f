package natsaccount

import (
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/stretchr/testify/require"
)

func TestTheListOfTheRevokedStaysShortWhereOneIsLetInAfterTheOther(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1_000_000, 0)
	for i := range 1000 {
		require.NoError(t, addRevoked(dir, "U"+strconv.Itoa(i), true, now))
		list, err := readRevoked(dir)
		require.NoError(t, err)
		require.LessOrEqual(t, len(list), 4)
		require.LessOrEqual(t, list[jwt.All], now.Add(-sameTime).Unix(), "one who is let in from now on is not meant")
		require.True(t, list.IsRevoked("U0", time.Unix(1_000_000, 0)))
		require.True(t, list.IsRevoked("U"+strconv.Itoa(i), now))
		require.False(t, list.IsRevoked("U"+strconv.Itoa(i+1), now))
		now = now.Add(time.Second)
	}
}

func TestNobodyIsRevokedWithAnotherWhereSeveralAreLetIn(t *testing.T) {
	dir, now := t.TempDir(), time.Unix(1_000_000, 0)
	for i := range 100 {
		require.NoError(t, addRevoked(dir, "U"+strconv.Itoa(i), false, now.Add(time.Duration(i)*time.Hour)))
	}
	list, err := readRevoked(dir)
	require.NoError(t, err)
	require.Len(t, list, 100)
	require.False(t, list.IsRevoked("another", now))
}
