package harness

import (
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Record is a file to which the nodes of a test project append one line for each thing that happens in them.
type Record string

// Lines returns the lines that begin with the prefix.
func (r Record) Lines(t testing.TB, prefix string) []string {
	t.Helper()
	content, err := os.ReadFile(string(r))
	if !errors.Is(err, fs.ErrNotExist) {
		require.NoError(t, err)
	}
	var found []string
	for line := range strings.Lines(string(content)) {
		if strings.HasPrefix(line, prefix) && strings.HasSuffix(line, "\n") {
			found = append(found, strings.TrimSuffix(line, "\n"))
		}
	}
	return found
}
