package run

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestASavedFileConcernsWhomItMayConcern(t *testing.T) {
	project := layout{
		manifest: "krt.yml",
		values:   []string{".env", "/elsewhere/cert.pem"},
		nodes: []nodeLayout{
			{key: "etl", src: "src/etl/main.py", python: true},
			{key: "model", src: "src/model/main.py", python: true},
			{key: "storer", src: "bin/storer", source: "cmd/storer"},
			{key: "given", src: "bin/given"},
		},
	}
	all := []string{"etl", "model", "storer", "given"}
	tests := map[string]struct {
		changed []string
		want    effect
	}{
		"a node's own code":               {[]string{"src/etl/main.py"}, effect{restart: []string{"etl"}}},
		"what lies deeper":                {[]string{"src/etl/lib/clean.py"}, effect{restart: []string{"etl"}}},
		"a neighbour with a similar name": {[]string{"src/etl2/main.py"}, effect{restart: []string{"etl", "model"}}},
		"shared Python":                   {[]string{"lib/units.py"}, effect{restart: []string{"etl", "model"}}},
		"two nodes at once":               {[]string{"src/etl/main.py", "src/model/main.py"}, effect{restart: []string{"etl", "model"}}},
		"a node's own data":               {[]string{"src/model/words.txt"}, effect{restart: []string{"model"}, golang: true, data: []string{"src/model/words.txt"}}},
		"shared data":                     {[]string{"models/price.joblib"}, effect{restart: all, golang: true, data: []string{"models/price.joblib"}}},
		"a Go program":                    {[]string{"cmd/storer/main.go"}, effect{golang: true}},
		"a Go package":                    {[]string{"internal/units/units.go"}, effect{golang: true}},
		"the Go module":                   {[]string{"go.mod", "go.sum"}, effect{golang: true}},
		"an executable that was given":    {[]string{"bin/given"}, effect{restart: []string{"given"}, golang: true, data: []string{"bin/given"}}},
		"the manifest":                    {[]string{"krt.yml"}, effect{manifest: true}},
		"a proto":                         {[]string{"public_input.proto", "protos/internal.proto"}, effect{protos: true}},
		"requirements of all":             {[]string{"requirements.txt"}, effect{requirements: true}},
		"requirements of one, locked":     {[]string{"src/etl/requirements.lock"}, effect{requirements: true}},
		"configuration values":            {[]string{".env"}, effect{values: true}},
		"a configuration file":            {[]string{"/elsewhere/cert.pem"}, effect{values: true}},
		"tests and documents": {[]string{
			"tests/test_greet.py", "src/etl/test_clean.py", "src/etl/clean_test.py", "conftest.py", "README.md",
			"cmd/storer/main_test.go", "cmd/storer/testdata/a.json", "docs/picture.svg", "Makefile",
		}, effect{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			require.Equal(t, test.want, project.decide(test.changed))
		})
	}
}

func TestANodeAtTheRootOwnsAllPython(t *testing.T) {
	project := layout{nodes: []nodeLayout{
		{key: "small", src: "main.py", python: true},
		{key: "other", src: "src/other/main.py", python: true},
	}}
	require.Equal(t, []string{"small"}, project.decide([]string{"helper.py"}).restart)
	require.Equal(t, []string{"small", "other"}, project.decide([]string{"src/other/main.py"}).restart)
}

func TestWhatIsNobodysWorkIsNotWatched(t *testing.T) {
	for _, folder := range []string{".git", ".kre", ".venv", "src/.idea", "src/etl/__pycache__", "ui/node_modules"} {
		require.True(t, unwatched(folder, true), folder)
	}
	for _, file := range []string{"src/.main.py.swp", "src/main.py~", "src/#main.py#", "4913", "x.krt", "src/m.pyc", "data.sqlite3-journal"} {
		require.True(t, unwatched(file, false), file)
	}
	require.False(t, unwatched("src", true))
	for _, file := range []string{"src/etl/main.py", "krt.yml", "requirements.txt", "models/price.joblib"} {
		require.False(t, unwatched(file, false), file)
	}
}
