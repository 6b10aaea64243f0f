package manifest_test

import (
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/manifest"
)

func tree(names ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for _, name := range names {
		fsys[name] = &fstest.MapFile{Data: []byte("package main\n")}
	}
	return fsys
}

func TestFindsTheOneManifest(t *testing.T) {
	for _, name := range manifest.FileNames() {
		found, err := manifest.Find(tree(name, "README.md", "sub/krt.yml"))
		require.NoError(t, err)
		require.Equal(t, name, found)
	}
	_, err := manifest.Find(tree("krt.json"))
	require.EqualError(t, err, "no manifest: there is none of krt.yml, krt.yaml, kre.yaml, kre.yml")
	_, err = manifest.Find(tree("krt.yml", "kre.yml"))
	require.EqualError(t, err, "more than one manifest: krt.yml, kre.yml; remove all but one")
}

func TestFindsTheGoSourceOfAnExecutable(t *testing.T) {
	tests := []struct {
		rule, src string
		files     []string
		want      string
	}{
		{"in cmd", "bin/storer", []string{"cmd/storer/main.go"}, "cmd/storer"},
		{"in src", "bin/storer", []string{"src/storer/x.go"}, "src/storer"},
		{"cmd before src", "bin/storer", []string{"src/storer/x.go", "cmd/storer/main.go"}, "cmd/storer"},
		{"dashes and underscores alike", "bin/stats_storer", []string{"src/stats-storer/main.go"}, "src/stats-storer"},
		{"underscores and dashes too", "bin/stats-storer", []string{"src/stats_storer/main.go"}, "src/stats_storer"},
		{"not only tests", "bin/storer", []string{"cmd/storer/main_test.go"}, ""},
		{"not a script", "src/storer.py", []string{"cmd/storer.py/main.go"}, ""},
		{"not below another folder", "bin/x/storer", []string{"cmd/storer/main.go"}, ""},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			dir, ok := manifest.GoSource(tree(test.files...), test.src)
			require.Equal(t, test.want, dir)
			require.Equal(t, test.want != "", ok)
		})
	}
}

func TestAProgramThatIsAFolderIsNotThere(t *testing.T) {
	require.False(t, manifest.Package(tree("src/etl/main.py")).Exists("src/etl"))
}

func TestSuggestionsLeaveOutWhatNobodyMeans(t *testing.T) {
	fsys := tree("src/a.py", ".git/a.py", "src/__pycache__/a.pyc", "node_modules/a.py")
	require.Equal(t, []string{"src/a.py"}, manifest.Package(fsys).Names())
}

func TestLoadReadsParsesAndChecks(t *testing.T) {
	fsys := tree("src/etl/main.py")
	fsys["krt.yml"] = &fstest.MapFile{Data: []byte(`version: demo-v1
config: {variables: [A, B], files: [C]}
workflows:
  - name: demo
    entrypoint: Predict
    exitpoint: etl
    nodes:
      - {name: etl, image: x, src: src/etl/main.py, subscriptions: [entrypoint], config: [A, C]}
      - {name: rest, image: x, src: src/etl/main.py, subscriptions: [etl]}
`)}
	m, problems, err := manifest.Load(manifest.Package(fsys), "krt.yml")
	require.NoError(t, err)
	require.NoError(t, problems.Err())
	require.Empty(t, m.Proto, "there is none in the package")
	require.Equal(t, manifest.Config{Variables: []string{"A"}, Files: []string{"C"}}, m.ConfigOf(m.Workflows[0].Nodes[0]))
	require.Equal(t, m.Config, m.ConfigOf(m.Workflows[0].Nodes[1]))
	require.Equal(t, 5, m.Line("workflows[0].entrypoint"))
	require.Equal(t, 8, m.Line("workflows[0].nodes[0].timeout"), "what is absent is where it would be")

	_, _, err = manifest.Load(manifest.Package(fsys), "krt.yaml")
	require.ErrorIs(t, err, fs.ErrNotExist)

	fsys["krt.yml"].Data = []byte(strings.Repeat("#", 2*manifest.MaxBytes))
	m, problems, err = manifest.Load(manifest.Package(fsys), "krt.yml")
	require.NoError(t, err)
	require.Nil(t, m)
	require.ErrorContains(t, problems.Err(), "larger than")
	var complaints manifest.Problems
	require.ErrorAs(t, problems.Err(), &complaints)
}
