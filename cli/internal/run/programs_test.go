package run

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/launch"
	"github.com/konstellation-io/kre/krt/manifest"
)

func TestAnExecutableThatSpeaksTheWorkerProtocolRunsUnderTheRunner(t *testing.T) {
	root := t.TempDir()
	p := newPrograms(source{root: root}, nil, "/platform", false)
	file := filepath.Join(root, "bin", "model")
	for protocol, want := range map[string]launch.Program{
		"":       {Path: file},
		"worker": {Worker: true, Path: "/platform/runner", Args: []string{"--", file}},
	} {
		got, err := p.build(t.Context(), node{Node: manifest.Node{Src: "bin/model", Protocol: protocol}})
		require.NoError(t, err)
		got.Stamp = ""
		require.Equal(t, want, got, protocol)
	}
}
