package inspect

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

const krt = `krtVersion: v2
version: classificator-v1
description: E-mail classification
config: {variables: [API_KEY, API_SECRET], files: [HTTPS_CERT]}
workflows:
  - name: classificator
    entrypoint: Classificator
    exitpoint: exitpoint
    nodes:
      - {name: etl, image: x, src: src/etl/main.py, subscriptions: [entrypoint]}
      - {name: email-classificator, image: x, src: src/etl/main.py, gpu: true, subscriptions: [etl]}
      - {name: repairs-handler, image: x, src: bin/repairs_handler, replicas: 2, protocol: worker, subscriptions: [email-classificator.repairs]}
      - {name: stats-storer, image: x, src: bin/stats_storer, subscriptions: [email-classificator, email-classificator.repairs]}
      - {name: exitpoint, image: x, src: bin/exitpoint, subscriptions: [etl, stats-storer]}
  - name: train
    entrypoint: Train
    exitpoint: train
    timeout: 2m
    maxAttempts: 1
    expired: finish
    nodes:
      - {name: train, image: x, src: src/etl/main.py, subscriptions: [entrypoint]}
`

func project(t *testing.T, more map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"krt.yml": krt, "src/etl/main.py": "import kre\n", ".env": "API_KEY=x\n",
		"bin/repairs_handler": "", "bin/stats_storer": "", "bin/exitpoint": strings.Repeat("x", 1536),
	}
	for name, content := range more {
		files[name] = content
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		mode := os.FileMode(0o644)
		if strings.HasPrefix(name, "bin/") {
			mode = 0o755
		}
		require.NoError(t, os.WriteFile(path, []byte(content), mode))
	}
	return dir
}

func run(c Command) (string, error) {
	var out bytes.Buffer
	err := c.run(context.Background(), &out, false)
	return out.String(), err
}

func TestShowsAProject(t *testing.T) {
	out, err := run(Command{Target: project(t, nil)})
	require.NoError(t, err)
	require.Equal(t, `classificator-v1  E-mail classification
format     v2
proto      none: requests and answers are JSON
variables  API_KEY, API_SECRET
files      HTTPS_CERT

classificator  rpc Classificator, timeout 30s, 5 attempts
entrypoint
└─ etl                                    ×1  src/etl/main.py
   ├─ email-classificator                 ×1  src/etl/main.py      gpu
   │  ├─ repairs-handler [repairs]        ×2  bin/repairs_handler  worker
   │  └─ stats-storer [default, repairs]  ×1  bin/stats_storer
   │     └─ exitpoint                     ×1  bin/exitpoint        answers the caller
   └─ exitpoint                           see above

train  rpc Train, timeout 2m0s, 1 attempt, what has expired is finished
entrypoint
└─ train    ×1  src/etl/main.py  answers the caller

5 files  2.5 KiB
   1.5 KiB  bin/exitpoint  executable
       0 B  bin/repairs_handler  executable
       0 B  bin/stats_storer  executable
     997 B  krt.yml
      11 B  src/etl/main.py

left out
            .env  environment
`, out)
}

func TestShowsAPackageWithItsDigest(t *testing.T) {
	sources, _, err := archive.Scan(project(t, nil))
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "x.krt")
	file, err := os.Create(path)
	require.NoError(t, err)
	pack, err := archive.Write(context.Background(), file, sources, nil)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	out, err := run(Command{Target: path})
	require.NoError(t, err)
	require.Contains(t, out, "digest     sha256:"+pack.Digest+"\n")
	require.NotContains(t, out, "left out")

	out, err = run(Command{Target: path, Output: "json"})
	require.NoError(t, err)
	var got struct {
		Name     string
		Digest   string
		Size     int64
		Files    []archive.File
		Manifest struct {
			Version   string
			Workflows []struct{ Timeout string }
		}
	}
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.Equal(t, "krt.yml", got.Name)
	require.Equal(t, pack.Digest, got.Digest)
	require.Equal(t, pack.Size, got.Size)
	require.Equal(t, pack.Files, got.Files)
	require.Equal(t, "classificator-v1", got.Manifest.Version)
	require.Equal(t, "2m0s", got.Manifest.Workflows[1].Timeout)
}

func TestCountsTheFilesOfACrowdedFolder(t *testing.T) {
	shards := map[string]string{}
	for i := range crowd + 1 {
		shards[fmt.Sprintf("models/shard-%02d", i)] = strings.Repeat("x", 100)
	}
	dir := project(t, shards)
	out, err := run(Command{Target: dir})
	require.NoError(t, err)
	require.Contains(t, out, "   2.1 KiB  models/  21 files\n")
	require.NotContains(t, out, "models/shard-00")

	out, err = run(Command{Target: dir, All: true})
	require.NoError(t, err)
	require.Contains(t, out, "     100 B  models/shard-00\n")
}

func TestShowsWhatThereIsOfAVersionThatIsRefused(t *testing.T) {
	dir := project(t, map[string]string{"krt.yml": strings.Replace(krt, "[etl, stats-storer]", "[etll]", 1)})
	out, err := run(Command{Target: dir})
	require.EqualError(t, err, "krt.yml: 1 complaint")
	require.True(t, strings.HasPrefix(out, `workflows[0].nodes[4].subscriptions[0] (line 14): unknown node "etll"; did you mean "etl"?`+"\n\n5 files  "), out)
	require.NotContains(t, out, "└─")

	out, err = run(Command{Target: dir, Output: "json"})
	require.EqualError(t, err, "krt.yml: 1 complaint")
	require.True(t, json.Valid([]byte(out)))
}

func TestSaysUnderWhichNameAVersionOfTheFirstFormatRuns(t *testing.T) {
	dir := t.TempDir()
	require.NoError(t, os.WriteFile(filepath.Join(dir, "kre.yaml"),
		[]byte("version: 1.0.3\nnodes: [{name: etl, image: x, src: etl.py}]\nworkflows: [{name: make_it, waterfall: [etl]}]\n"), 0o644))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "etl.py"), nil, 0o644))
	out, err := run(Command{Target: dir})
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(out, "1.0.3 as v1-0-3\nformat     v1\n"), out)
}

func TestSizesAreReadable(t *testing.T) {
	for n, want := range map[int64]string{
		0: "0 B", 1023: "1023 B", 1024: "1.0 KiB", 1536: "1.5 KiB", 1<<20 - 1: "1.0 MiB", 5 << 30: "5.0 GiB", 1 << 62: "4.0 EiB",
	} {
		require.Equal(t, want, size(n))
	}
}
