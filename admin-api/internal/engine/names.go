package engine

import (
	"regexp"
	"slices"
	"strings"
)

// Limits of what a request may hold.
const (
	MaxName     = 40
	MaxText     = 1000     // characters of a comment or a description
	MaxVariable = 64 << 10 // bytes of a configuration variable's value
	MaxFile     = 1 << 20  // bytes of a configuration file
	maxValues   = 12 << 20 // bytes of all values of a version: one document of the store holds them
)

var runtimeName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

// checkRuntimeName refuses what cannot be a namespace of ours.
func (e *Engine) checkRuntimeName(name string) error {
	const want = "want lower-case letters, digits and dashes, beginning with a letter, ending with a letter or digit, at most 40"
	switch {
	case name == "":
		return invalid("runtime_id", "a name is required; %s", want)
	case len(name) > MaxName || !runtimeName.MatchString(name):
		return invalid("runtime_id", "%q is no name for a runtime; %s", name, want)
	case name == "default" || name == "kre" || strings.HasPrefix(name, "kube-") || slices.Contains(e.opts.Reserved, name):
		return invalid("runtime_id", "the name %q belongs to the platform; choose another", name)
	}
	return nil
}

func checkText(field, text string) error {
	if n := len([]rune(text)); n > MaxText {
		return invalid(field, "it has %d characters, at most %d are kept", n, MaxText)
	}
	return nil
}

// nearest is the known word that the unknown one may have been meant to be, or "".
func nearest(word string, known []string) string {
	best, least := "", len(word)/3+1
	for _, candidate := range known {
		if d := distance(strings.ToUpper(word), strings.ToUpper(candidate)); d <= least {
			best, least = candidate, d-1
		}
	}
	return best
}

// distance is how many letters have to be added, removed or replaced.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			diagonal, row[j] = row[j], min(row[j]+1, row[j-1]+1, diagonal+cost)
		}
	}
	return row[len(b)]
}
