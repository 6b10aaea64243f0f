package manifest_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/manifest"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// project is a package of empty files beside those of contents.
func project(contents map[string]string, names ...string) manifest.Files {
	fsys := fstest.MapFS{}
	for _, name := range names {
		fsys[name] = &fstest.MapFile{}
	}
	for name, content := range contents {
		fsys[name] = &fstest.MapFile{Data: []byte(content)}
	}
	return manifest.Package(fsys)
}

func TestAcceptsThePublishedManifestsAsTheyAre(t *testing.T) {
	tests := []struct {
		name     string
		files    manifest.Files
		warnings []string
	}{
		{
			name: "krt-v2.yml",
			files: project(map[string]string{"public_input.proto": `syntax = "proto3";
package main;
service Classificator { rpc Classificator(Request) returns (Response); }
message Request {}
message Response {}
`}, "src/etl/main.py", "src/email_classificator/main.py", "bin/repairs_handler", "bin/stats_storer", "bin/exitpoint"),
		},
		{
			name:  "krt-v1.yaml",
			files: project(nil, "src/model_input_etl/main.py", "src/model.py", "bin/output", "src/client_metrics/main.py"),
			warnings: []string{
				"entrypoint (line 3): not run: the platform supplies the entrypoint",
			},
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			data, err := os.ReadFile(filepath.Join("testdata", "golden", test.name))
			require.NoError(t, err)
			m, problems := manifest.Parse(test.name, data)
			problems = append(problems, manifest.Check(m, test.files)...)
			require.NoError(t, problems.Err())
			var warnings []string
			for _, warning := range problems.Warnings() {
				warnings = append(warnings, warning.String())
			}
			require.Equal(t, test.warnings, warnings)

			got, err := json.MarshalIndent(m, "", "  ")
			require.NoError(t, err)
			golden := filepath.Join("testdata", "golden", test.name+".json")
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

func TestWhatHasExpiredIsDroppedUnlessTheWorkflowSaysFinish(t *testing.T) {
	tests := map[string]string{
		"krt.yml": `version: demo-v1
workflows:
  - {name: a, entrypoint: A, exitpoint: n, nodes: &n [{name: n, image: x, src: bin/n, subscriptions: [entrypoint]}]}
  - {name: b, entrypoint: B, exitpoint: n, nodes: *n, expired: drop}
  - {name: c, entrypoint: C, exitpoint: n, nodes: *n, expired: finish}
`,
		"kre.yaml": `version: demo-v1
nodes: [{name: n, image: x, src: bin/n}]
workflows:
  - {name: a, sequential: [n]}
  - {name: b, sequential: [n], expired: drop}
  - {name: c, sequential: [n], expired: finish}
`,
	}
	for name, text := range tests {
		t.Run(name, func(t *testing.T) {
			m, problems := manifest.Parse(name, []byte(text))
			require.NoError(t, problems.Err())
			var expired []string
			for _, w := range m.Workflows {
				expired = append(expired, w.Expired)
			}
			require.Equal(t, []string{manifest.ExpiredDrop, manifest.ExpiredDrop, manifest.ExpiredFinish}, expired)
		})
	}
}
