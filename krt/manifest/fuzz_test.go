package manifest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"

	"github.com/konstellation-io/kre/krt/manifest"
)

// FuzzParse holds that whatever is read, Parse and Check neither panic nor point outside the file, and that a manifest
// without complaints is whole.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"golden/*.y*ml", "rules/*.txtar"} {
		paths, err := filepath.Glob(filepath.Join("testdata", pattern))
		require.NoError(f, err)
		for _, path := range paths {
			data, err := os.ReadFile(path)
			require.NoError(f, err)
			if filepath.Ext(path) == ".txtar" {
				data = txtar.Parse(data).Files[0].Data
			}
			f.Add(data)
		}
	}
	files := manifest.Project(fstest.MapFS{"src/etl/main.py": {}, "cmd/model/main.go": {Data: []byte("package main")}})
	f.Fuzz(func(t *testing.T, data []byte) {
		if len(data) > 10_000 {
			return // long ones are a matter of tests with a purpose
		}
		m, problems := manifest.Parse("krt.yml", data)
		problems = append(problems, manifest.Check(m, files)...)
		lines := 1
		for _, breaks := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} { // YAML's, not only ours
			lines += bytes.Count(data, []byte(breaks))
		}
		for _, p := range problems {
			require.NotEmpty(t, p.Path)
			require.NotEmpty(t, p.Message)
			require.GreaterOrEqual(t, p.Line, 0)
			require.LessOrEqual(t, p.Line, lines, p.String())
		}
		if problems.Err() != nil {
			return
		}
		require.NotEmpty(t, m.ID)
		require.NotEmpty(t, m.Workflows)
		for _, w := range m.Workflows {
			require.NotEmpty(t, w.ID)
			require.NotEmpty(t, w.RPC)
			require.Positive(t, w.Timeout)
			require.NotEmpty(t, w.Nodes)
			require.NotEmpty(t, w.Exitpoint)
			for _, n := range w.Nodes {
				require.NotEmpty(t, n.ID)
				require.NotEmpty(t, n.Src)
				require.NotEmpty(t, n.Subscriptions)
			}
		}
	})
}
