package manifest

import (
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSuggestsWhatIsNear(t *testing.T) {
	tests := []struct {
		rule, wrong string
		candidates  []string
		want        string
	}{
		{"a letter too many", "etll", []string{"model", "etl"}, `; did you mean "etl"?`},
		{"two letters swapped", "elt", []string{"model", "etl"}, `; did you mean "etl"?`},
		{"other capitals", "MODEL", []string{"etl", "model"}, `; did you mean "model"?`},
		{"the nearest one", "modell2", []string{"model", "model2"}, `; did you mean "model2"?`},
		{"nothing that is only a little alike", "store", []string{"etl", "model"}, ""},
		{"nothing for what is very long", strings.Repeat("a", 101), []string{strings.Repeat("a", 100)}, ""},
		{"nothing out of nothing", "etl", nil, ""},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			require.Equal(t, test.want, newHints().name(test.wrong, test.candidates))
		})
	}
}

func TestSuggestingEnds(t *testing.T) {
	h := newHints()
	candidates := slices.Repeat([]string{"model"}, maxComparisons)
	require.NotEmpty(t, h.name("modell", candidates))
	require.Empty(t, h.name("modell", candidates))
}
