package manifest

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestQuantitiesAreReadExactly(t *testing.T) {
	tests := map[string]string{
		"0": "0", "1": "1", "+2": "2", "1.5": "3/2", ".5": "1/2", "1.": "1", "100m": "1/10", "250u": "1/4000", "1n": "1/1000000000",
		"1k": "1000", "2M": "2000000", "1G": "1000000000", "1T": "1000000000000", "1P": "1000000000000000", "1E": "1000000000000000000",
		"1Ki": "1024", "1.5Mi": "1572864", "1Gi": "1073741824", "1Ti": "1099511627776", "1Pi": "1125899906842624", "1Ei": "1152921504606846976",
		"1e3": "1000", "1E3": "1000", "12e-1": "6/5", "1e+2": "100",
	}
	for text, want := range tests {
		got, ok := parseQuantity(text)
		require.True(t, ok, text)
		require.Equal(t, want, got.RatString(), text)
	}
}

func TestWhatIsNoQuantityIsRefused(t *testing.T) {
	for _, text := range []string{
		"", " 1", "1 ", "-1", "1ki", "1K", "1KB", "1mi", "m", ".", "1..2", "1.2.3", "1e", "e3", "1e3Mi", "1e999", "0x10", "١", "Inf", "NaN", "1_000", "1/2",
		"1234567890123456789012345678901",
	} {
		_, ok := parseQuantity(text)
		require.False(t, ok, text)
	}
}
