package pack

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

const manifestText = `krtVersion: v2
version: demo-v1
workflows:
  - name: greet
    entrypoint: Greet
    exitpoint: out
    nodes:
      - {name: etl, image: python, src: src/etl/main.py, subscriptions: [entrypoint]}
      - {name: out, image: go, src: bin/out, subscriptions: [etl]}
`

const protoText = `syntax = "proto3";
package demo;
message Request { string name = 1; }
message Response { string text = 1; }
service Greeter { rpc Greet(Request) returns (Response); }
`

// project is a folder with a Python node and a Go node, and what no package should hold.
func project(t *testing.T, more map[string]string) string {
	t.Helper()
	files := map[string]string{
		"krt.yml": manifestText, "public_input.proto": protoText, "src/etl/main.py": "", "docs/README.md": "# Demo\n",
		"go.mod": "module demo\n\ngo 1.26\n", "cmd/out/main.go": "package main\n\nfunc main() {}\n", ".env": "SECRET=1\n",
		"src/etl/__pycache__/main.pyc": "", "notes.txt": "", archive.IgnoreFile: "notes.txt\n",
	}
	for name, text := range more {
		files[name] = text
	}
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	return root
}

// packed runs the command and answers what it printed.
func packed(t *testing.T, c Command) (string, error) {
	t.Helper()
	t.Setenv("KRE_CACHE", t.TempDir())
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	require.NoError(t, err)
	defer out.Close() //nolint:errcheck // only written to by the test
	runErr := c.run(t.Context(), out, out)
	text, err := os.ReadFile(out.Name())
	require.NoError(t, err)
	return string(text), runErr
}

func files(t *testing.T, name string) []string {
	t.Helper()
	file, err := os.Open(name)
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // only read
	r, err := archive.NewReader(file, archive.Limits{})
	require.NoError(t, err)
	var paths []string
	for {
		f, err := r.Next()
		if err == io.EOF { //nolint:errorlint // as a reader answers it
			return paths
		}
		require.NoError(t, err)
		if f.Executable {
			f.Path += "*"
		}
		paths = append(paths, f.Path)
	}
}

func TestAPackageHoldsWhatItsNodesNeedToRun(t *testing.T) {
	root, dir := project(t, nil), t.TempDir()
	t.Chdir(dir)
	said, err := packed(t, Command{Project: root})
	require.NoError(t, err)
	require.Equal(t, []string{
		"krt.yml", "public_input.proto", ".kre/gen/python/public_input_pb2.py", ".kre/gen/python/public_input_pb2.pyi",
		archive.IgnoreFile, "bin/out*", "cmd/out/main.go", "docs/README.md", "go.mod", "pb/public_input.pb.go", "src/etl/main.py",
	}, files(t, "demo-v1.krt"))
	require.Regexp(t, `^build bin/out from cmd/out
✓ demo-v1\.krt: [0-9.]+ [KM]iB, 11 files, [0-9.]+ MiB unpacked
digest sha256:[0-9a-f]{64}
left out: \.env \(environment\)
left out: notes\.txt \(listed in \.krtignore\)
left out: src/etl/__pycache__/ \(cache\)
$`, said)
	require.NoFileExists(t, filepath.Join(root, "bin", "out"), "what is built is not put into the project")
}

func TestPackingTwiceGivesTheSameBytes(t *testing.T) {
	var first []byte
	for range 2 {
		output := filepath.Join(t.TempDir(), "x.krt")
		_, err := packed(t, Command{Project: project(t, nil), Output: output})
		require.NoError(t, err)
		data, err := os.ReadFile(output)
		require.NoError(t, err)
		if first == nil {
			first = data
		}
		require.True(t, bytes.Equal(first, data), "the bytes differ")
	}
}

func TestRefusesToPack(t *testing.T) {
	for name, c := range map[string]struct {
		more map[string]string
		text string
		said string
	}{
		"a project with complaints, which are printed": {
			more: map[string]string{"krt.yml": manifestText + "      - {name: lost, image: x, src: src/lost/main.py, subscriptions: [etl]}\n"},
			text: "krt.yml: 1 complaint, nothing is packed",
			said: "workflows[0].nodes[2].src (line 10): ",
		},
		"a node whose source is left out": {
			more: map[string]string{archive.IgnoreFile: "etl/\n"},
			text: "src/etl/main.py is needed, but left out: listed in .krtignore",
		},
		"a proto that is left out": {
			more: map[string]string{archive.IgnoreFile: "*.proto\n"},
			text: "public_input.proto is needed, but left out: listed in .krtignore",
		},
		"a Go node that does not compile": {
			more: map[string]string{"cmd/out/main.go": "package main\n\nfunc main() { nothing() }\n"},
			text: "build bin/out from cmd/out:\n# demo/cmd/out\ncmd/out/main.go:3:15: undefined: nothing",
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			said, err := packed(t, Command{Project: project(t, c.more), Output: filepath.Join(dir, "x.krt")})
			require.EqualError(t, err, c.text)
			require.Contains(t, said, c.said)
			left, err := os.ReadDir(dir)
			require.NoError(t, err)
			require.Empty(t, left)
		})
	}
}

func TestRefusesAnotherPlatform(t *testing.T) {
	_, err := packed(t, Command{Project: project(t, nil), Platform: "plan9/mips"})
	require.EqualError(t, err, "--platform plan9/mips: packing for another platform than this machine's, "+
		runtime.GOOS+"/"+runtime.GOARCH+", cannot be done yet")
}

func TestAPackageIsNotPackedAgain(t *testing.T) {
	output := filepath.Join(t.TempDir(), "x.krt")
	_, err := packed(t, Command{Project: project(t, nil), Output: output, Platform: runtime.GOOS + "/" + runtime.GOARCH})
	require.NoError(t, err)
	_, err = packed(t, Command{Project: output})
	require.EqualError(t, err, output+" is packed already: name the folder of a project")
}
