package manifest_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/internal/heaptest"
	"github.com/konstellation-io/kre/krt/manifest"
)

func TestNoManifestCostsMoreThanItsBounds(t *testing.T) {
	const dear = 128 << 20
	fill := func(text string) string { return strings.Repeat(text, (manifest.MaxBytes-100)/len(text)) }
	for name, text := range map[string]string{
		"lists within a list":   "a: [" + fill("[],") + "]",
		"mappings":              "a: [" + fill("{},") + "]",
		"one key over and over": fill("a:\n"),
		"comments":              fill("- #\n"),
		"anchors":               fill("- &a\n"),
		"a mistake at its end":  fill("- 1\n") + "\t:",
		"one within a list":     "a: [" + fill("1,") + "\n:::\n",
		"deep lists":            "a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000),
		"merges":                "a: &a {b: 1}\nversion: x\nworkflows:\n- <<: [" + fill("*a,")[:manifest.MaxBytes-200] + "]\n",
	} {
		t.Run(name, func(t *testing.T) {
			peak := heaptest.Watch(t)
			_, problems := manifest.Parse("krt.yml", []byte(text))
			require.Less(t, peak(), uint64(dear))
			require.Error(t, problems.Err())
			require.LessOrEqual(t, len(problems), 101)
		})
	}
}
