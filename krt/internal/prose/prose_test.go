package prose_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

func TestThousandsAreSetApart(t *testing.T) {
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1,000", 10_050: "10,050", 1_000_000: "1,000,000"} {
		require.Equal(t, want, prose.Thousands(n))
	}
}
