package generate_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/generate"
)

func TestGeneratedGoCompiles(t *testing.T) {
	root := every(t)
	_, err := generate.Project(t.Context(), root, generate.Options{Language: generate.Go})
	require.NoError(t, err)
	// The sums of this module hold those of the protobuf module.
	sums, err := os.ReadFile("../../go.sum")
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.sum"), sums, 0o644))
	module := "module demo\n\ngo 1.26\n\nrequire google.golang.org/protobuf v1.36.12\n"
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte(module), 0o644))
	command := exec.Command("go", "vet", "./...")
	command.Dir = root
	command.Env = append(os.Environ(), "GOWORK=off")
	output, err := command.CombinedOutput()
	require.NoError(t, err, "%s", output)
}
