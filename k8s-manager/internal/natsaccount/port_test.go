package natsaccount_test

import (
	"net/url"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

func port(t *testing.T, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	number, err := strconv.Atoi(u.Port())
	require.NoError(t, err)
	return number
}
