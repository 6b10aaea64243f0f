package gobuild_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/gobuild"
)

const (
	plainProgram = "package main\n\nfunc main() { println(\"hello\") }\n"
	sdkProgram   = `package main

import "github.com/konstellation-io/kre/runner-sdk/go/wire"

func main() { println(wire.HeaderSender) }
`
)

// project writes the files of a project.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
	return root
}

func read(t *testing.T, parts ...string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(parts...))
	require.NoError(t, err)
	return string(text)
}

func TestFindsTheProgramOfANode(t *testing.T) {
	root := project(t, map[string]string{
		"cmd/stats-storer/main.go":   plainProgram,
		"src/repairs_handler/run.go": plainProgram,
		"cmd/library/library.go":     "package library\n",
		"cmd/there/main.go":          plainProgram,
		"bin/there":                  "#!/bin/sh\n",
	})
	for src, dir := range map[string]string{
		"bin/stats-storer":    "cmd/stats-storer",
		"bin/stats_storer":    "cmd/stats-storer",
		"bin/repairs-handler": "src/repairs_handler",
		"bin/library":         "",
		"bin/nowhere":         "",
		"bin/there":           "",
		"src/model/main.py":   "",
	} {
		found, err := gobuild.Source(root, src)
		require.NoError(t, err, src)
		require.Equal(t, dir, found, src)
	}
}

func TestBuildsAProgramThatDoesNotUseTheSDKAndLeavesItsModuleAlone(t *testing.T) {
	mod := "module demo\n\ngo 1.22\n"
	root := project(t, map[string]string{"go.mod": mod, "cmd/hello/main.go": plainProgram})
	out := filepath.Join(t.TempDir(), "hello")
	require.NoError(t, gobuild.Build(t.Context(), gobuild.Options{Project: root, Src: "bin/hello", Output: out}))
	said, err := exec.Command(out).CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "hello\n", string(said))
	require.Equal(t, mod, read(t, root, "go.mod"))
	require.NoDirExists(t, filepath.Join(root, ".kre"))
}

func TestBuildsAProgramThatImportsTheSDKWithoutTidying(t *testing.T) {
	root := project(t, map[string]string{"go.mod": "module demo\n\ngo 1.22\n", "cmd/node/main.go": sdkProgram})
	out := filepath.Join(t.TempDir(), "node")
	require.NoError(t, gobuild.Build(t.Context(), gobuild.Options{Project: root, Src: "bin/node", Output: out}))
	require.FileExists(t, out)
	require.Contains(t, read(t, root, "go.mod"), "replace github.com/konstellation-io/kre/runner-sdk/go => ./.kre/sdk/go")

	mod, sum := read(t, root, "go.mod"), read(t, root, "go.sum")
	require.NoError(t, gobuild.Build(t.Context(), gobuild.Options{Project: root, Src: "bin/node", Output: out}))
	require.Equal(t, mod, read(t, root, "go.mod"))
	require.Equal(t, sum, read(t, root, "go.sum"))
}

func TestAReleaseHasTheSameBytesWhereverItIsBuilt(t *testing.T) {
	var first []byte
	for range 2 {
		root := project(t, map[string]string{"go.mod": "module demo\n\ngo 1.22\n", "cmd/hello/main.go": plainProgram})
		out := filepath.Join(t.TempDir(), "hello")
		require.NoError(t, gobuild.Build(t.Context(), gobuild.Options{Project: root, Src: "bin/hello", Output: out, Release: true}))
		data, err := os.ReadFile(out)
		require.NoError(t, err)
		if first == nil {
			first = data
		}
		require.True(t, string(first) == string(data), "the bytes differ")
	}
}

func TestBuildsOfOneProjectMayRunAtOnce(t *testing.T) {
	root := project(t, map[string]string{
		"go.mod": "module demo\n", "cmd/a/main.go": sdkProgram, "cmd/b/main.go": sdkProgram, "cmd/c/main.go": sdkProgram,
	})
	out := t.TempDir()
	var group sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		group.Go(func() {
			assert.NoError(t, gobuild.Build(t.Context(), gobuild.Options{
				Project: root, Src: "bin/" + name, Output: filepath.Join(out, name),
			}))
		})
	}
	group.Wait()
}

func TestTheCompilersComplaintIsTheError(t *testing.T) {
	root := project(t, map[string]string{"go.mod": "module demo\n", "cmd/a/main.go": "package main\n\nfunc main() { nothing() }\n"})
	err := gobuild.Build(t.Context(), gobuild.Options{Project: root, Src: "bin/a", Output: filepath.Join(t.TempDir(), "a")})
	require.EqualError(t, err, "build bin/a from cmd/a:\n# demo/cmd/a\ncmd/a/main.go:3:15: undefined: nothing")
}

func TestSaysWhatIsMissing(t *testing.T) {
	out := filepath.Join(t.TempDir(), "a")
	noProgram := project(t, map[string]string{"go.mod": "module demo\n"})
	require.EqualError(t, gobuild.Build(t.Context(), gobuild.Options{Project: noProgram, Src: "bin/a", Output: out}),
		"build bin/a: there is no Go program to build it from")

	noModule := project(t, map[string]string{"cmd/a/main.go": plainProgram})
	require.EqualError(t, gobuild.Build(t.Context(), gobuild.Options{Project: noModule, Src: "bin/a", Output: out}),
		"cmd/a is a Go program, but the project has no go.mod: make one with `go mod init NAME`")

	t.Setenv("PATH", t.TempDir())
	noGo := project(t, map[string]string{"go.mod": "module demo\n", "cmd/a/main.go": plainProgram})
	require.EqualError(t, gobuild.Build(t.Context(), gobuild.Options{Project: noGo, Src: "bin/a", Output: out}),
		"bin/a is built from cmd/a, but there is no Go toolchain: install Go, or put the executable at bin/a")
}
