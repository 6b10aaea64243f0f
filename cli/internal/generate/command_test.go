package generate

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

func run(t *testing.T, command Command) (out, problems string) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	require.NoError(t, command.run(t.Context(), &stdout, &stderr))
	return stdout.String(), stderr.String()
}

func write(t *testing.T, root, name, content string) {
	t.Helper()
	require.NoError(t, os.WriteFile(filepath.Join(root, name), []byte(content), 0o644))
}

const oneNode = `version: demo
workflows:
  - name: greet
    entrypoint: Greet
    exitpoint: greet
    nodes: [{name: greet, image: none, src: src/greet/main.py, subscriptions: [entrypoint]}]
`

func TestTheCommandTellsWhatItHasDone(t *testing.T) {
	root := t.TempDir()
	write(t, root, "krt.yml", oneNode)
	out, problems := run(t, Command{Project: root})
	require.Equal(t, "the project has no .proto: there is nothing to generate\n", out)
	require.Empty(t, problems)

	write(t, root, "public_input.proto", `syntax = "proto3"; message M {}`)
	write(t, root, "broken.proto", "nonsense")
	out, problems = run(t, Command{Project: root})
	require.Equal(t, "wrote    .kre/gen/python/public_input_pb2.py\nwrote    .kre/gen/python/public_input_pb2.pyi\n", out)
	require.Contains(t, problems, "warning: broken.proto was left out: broken.proto (line 1): ")

	require.NoError(t, os.Remove(filepath.Join(root, "broken.proto")))
	require.NoError(t, os.Rename(filepath.Join(root, "public_input.proto"), filepath.Join(root, "other.proto")))
	write(t, root, "public_input.proto", `syntax = "proto3"; import "other.proto";`)
	run(t, Command{Project: root})
	require.NoError(t, os.Remove(filepath.Join(root, "other.proto")))
	write(t, root, "public_input.proto", `syntax = "proto3";`)
	out, _ = run(t, Command{Project: root})
	require.Contains(t, out, "removed  .kre/gen/python/other_pb2.py\n")

	out, _ = run(t, Command{Project: root})
	require.Equal(t, "2 of 2 files were up to date\n", out)
}

func TestAFolderThatIsNotThereIsNamed(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	err := (&Command{Project: missing}).run(t.Context(), new(bytes.Buffer), new(bytes.Buffer))
	require.EqualError(t, err, "there is no folder "+missing)
}
