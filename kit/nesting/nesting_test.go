package nesting_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/nesting"
)

func TestLevelsAreCountedOutsideOfTexts(t *testing.T) {
	for text, depth := range map[string]int{
		``: 0, `1`: 0, `{}`: 1, `[[],[]]`: 2, `{"a":[{"b":1}],"c":[[]]}`: 3,
		`{"[[[[":"{{{{"}`: 1, `["\"[[[["]`: 1, `["\\",[]]`: 2, `["\\\"[[",{}]`: 2,
	} {
		require.False(t, nesting.Deeper([]byte(text), depth), text)
		require.True(t, depth == 0 || nesting.Deeper([]byte(text), depth-1), text)
	}
	require.True(t, nesting.Deeper([]byte(strings.Repeat("[", nesting.Limit+1)), nesting.Limit), "what is cut too")
	require.False(t, nesting.Deeper([]byte(strings.Repeat("[],", 1000)), nesting.Limit))
}
