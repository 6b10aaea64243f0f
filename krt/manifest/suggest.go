package manifest

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxComparisons bounds the work that one manifest can cause by being wrong in very many places.
const maxComparisons = 10_000

// hints suggests names for misspelt ones.
type hints struct{ left int }

func newHints() *hints { return &hints{left: maxComparisons} }

// name is `; did you mean "x"?` for the candidate that is nearest to wrong, and empty when none is near.
func (h *hints) name(wrong string, candidates []string) string {
	return didYouMean(h.near(wrong, candidates))
}

// near is the candidate that name suggests; empty when none is near.
func (h *hints) near(wrong string, candidates []string) string {
	return h.nearest(wrong, candidates, max(1, len(wrong)/3))
}

// file is the same for paths: one that is nearly the same, or else the only one with the same last element.
func (h *hints) file(wrong string, candidates []string) string {
	if best := h.nearest(wrong, candidates, min(3, max(1, len(wrong)/3))); best != "" {
		return didYouMean(best)
	}
	if h.left == 0 {
		return ""
	}
	same := slices.DeleteFunc(slices.Clone(candidates[:min(len(candidates), maxNames)]), func(c string) bool {
		return path.Base(c) != path.Base(wrong)
	})
	if len(same) == 1 {
		return didYouMean(same[0])
	}
	return ""
}

func didYouMean(name string) string {
	if name == "" {
		return ""
	}
	return fmt.Sprintf("; did you mean %q?", name)
}

func (h *hints) nearest(wrong string, candidates []string, limit int) string {
	if len(wrong) > 100 {
		return ""
	}
	best, bestDistance := "", limit+1
	for _, candidate := range candidates {
		if h.left == 0 {
			return best
		}
		h.left--
		if abs(len(candidate)-len(wrong)) >= bestDistance && !strings.EqualFold(candidate, wrong) {
			continue
		}
		if d := distance(strings.ToLower(wrong), strings.ToLower(candidate)); d < bestDistance {
			best, bestDistance = candidate, d
		}
	}
	return best
}

func abs(n int) int { return max(n, -n) }

// distance counts the insertions, deletions, replacements and swaps of neighbours that turn a into b.
func distance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := range len(a) {
		row := make([]int, len(b)+1)
		row[0] = i + 1
		for j := range len(b) {
			replaced := last[j]
			if a[i] != b[j] {
				replaced++
			}
			row[j+1] = min(last[j+1]+1, row[j]+1, replaced)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				row[j+1] = min(row[j+1], before[j-1]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
