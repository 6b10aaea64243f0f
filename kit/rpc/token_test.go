package rpc_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/rpc"
)

func TestEachAddressHasATokenOfItsOwn(t *testing.T) {
	one := rpc.TokenAt("shared", "unix:/one")
	require.Equal(t, one, rpc.TokenAt("shared", "unix:/one"))
	require.NotEqual(t, one, rpc.TokenAt("shared", "unix:/two"))
	require.NotEqual(t, one, rpc.TokenAt("other", "unix:/one"))
	require.NotContains(t, one, "shared")
	require.Empty(t, rpc.TokenAt("", "unix:/one"), "where nobody is asked, nobody is")
}
