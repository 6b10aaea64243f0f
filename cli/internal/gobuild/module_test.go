package gobuild_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/gobuild"
)

func TestMakesAModuleForANewProject(t *testing.T) {
	root := t.TempDir()
	require.NoError(t, gobuild.PrepareModule(root, "example.com/demo"))
	mod := read(t, root, "go.mod")
	require.True(t, strings.HasPrefix(mod, "module example.com/demo\n"), mod)
	require.Contains(t, mod, "github.com/konstellation-io/kre/runner-sdk/go v0.0.0\n")
	require.FileExists(t, filepath.Join(root, ".kre", "sdk", "go", "go.mod"))
	require.NoError(t, gobuild.PrepareModule(root, ""))
	require.Equal(t, mod, read(t, root, "go.mod"))
}

func TestKeepsWhatTheProjectRequires(t *testing.T) {
	const newer, older = "google.golang.org/protobuf v1.99.0", "google.golang.org/genproto/googleapis/rpc v0.0.0-20200101000000-000000000000"
	root := project(t, map[string]string{
		"go.mod": "module demo\n\ngo 1.99\n\nrequire (\n\texample.com/own v1.0.0\n\t" + newer + "\n\t" + older + " // indirect\n)\n",
		"go.sum": "example.com/own v1.0.0 h1:own=\n",
	})
	require.NoError(t, gobuild.PrepareModule(root, "demo"))
	mod := read(t, root, "go.mod")
	require.Contains(t, mod, "\ngo 1.99\n")
	require.Contains(t, mod, "example.com/own v1.0.0\n")
	require.Contains(t, mod, newer)
	require.NotContains(t, mod, older)
	sum := read(t, root, "go.sum")
	require.True(t, strings.HasPrefix(sum, "example.com/own v1.0.0 h1:own=\n"), sum)
	require.Greater(t, strings.Count(sum, "\n"), 2)
}

func TestLeavesAnSDKFromElsewhereAlone(t *testing.T) {
	mod := "module demo\n\nrequire github.com/konstellation-io/kre/runner-sdk/go v0.0.0\n\n" +
		"replace github.com/konstellation-io/kre/runner-sdk/go => ../sdk\n"
	root := project(t, map[string]string{"go.mod": mod})
	require.NoError(t, gobuild.PrepareModule(root, ""))
	require.Equal(t, mod, read(t, root, "go.mod"))
	require.NoDirExists(t, filepath.Join(root, ".kre"))
}

func TestAProjectWithoutGoStaysWithoutGo(t *testing.T) {
	root := project(t, map[string]string{"src/model/main.py": ""})
	require.NoError(t, gobuild.PrepareModule(root, ""))
	require.NoFileExists(t, filepath.Join(root, "go.mod"))
	require.NoDirExists(t, filepath.Join(root, ".kre"))
}
