package look_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
)

const krt = `version: demo-v1
workflows:
  - name: demo
    entrypoint: Predict
    exitpoint: etl
    nodes:
      - {name: etl, image: x, src: bin/etl, subscriptions: [entrypoint]}
`

const proto = `syntax = "proto3";
service Demo { rpc Predict(Request) returns (Request); }
message Request {}
`

// project writes files into a folder of their own.
func project(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return dir
}

// pack writes files into a .krt as tar would.
func pack(t *testing.T, files ...string) string {
	t.Helper()
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	entries := tar.NewWriter(zipped)
	for i := 0; i < len(files); i += 2 {
		require.NoError(t, entries.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))}))
		_, err := entries.Write([]byte(files[i+1]))
		require.NoError(t, err)
	}
	require.NoError(t, entries.Close())
	require.NoError(t, zipped.Close())
	path := filepath.Join(t.TempDir(), "demo.krt")
	require.NoError(t, os.WriteFile(path, out.Bytes(), 0o644))
	return path
}

func TestOpensAProjectByItsFolderOrItsManifest(t *testing.T) {
	dir := project(t, map[string]string{"krt.yml": krt, "cmd/etl/main.go": "package main\n", "public_input.proto": proto})
	for _, path := range []string{dir, filepath.Join(dir, "krt.yml")} {
		subject, err := look.Open(context.Background(), path)
		require.NoError(t, err)
		require.Empty(t, subject.Problems, "the executable is built from cmd/etl")
		require.Equal(t, "krt.yml", subject.Title())
		require.Equal(t, "demo-v1", subject.Manifest.Version)
		require.Equal(t, dir, subject.Project)
		require.Nil(t, subject.Package)
	}
}

func TestOpensAManifestWithAnotherName(t *testing.T) {
	dir := project(t, map[string]string{"krt.yml": "", "other.yaml": krt, "bin/etl": ""})
	subject, err := look.Open(context.Background(), filepath.Join(dir, "other.yaml"))
	require.NoError(t, err)
	require.Empty(t, subject.Problems)
}

func TestOpensAPackageWhereverItsManifestIs(t *testing.T) {
	path := pack(t, "./bin/etl", "\x7fELF", "./public_input.proto", proto, "./krt.yml", krt)
	subject, err := look.Open(context.Background(), path)
	require.NoError(t, err)
	require.Empty(t, subject.Problems)
	require.Equal(t, "demo.krt", subject.Title())
	require.Equal(t, "public_input.proto", subject.Manifest.Proto)
	require.Len(t, subject.Package.Files, 3)
	require.Equal(t, archive.Digest(subject.Package.Files), subject.Package.Digest)
}

func TestInAPackageTheExecutableItselfMustBeThere(t *testing.T) {
	subject, err := look.Open(context.Background(), pack(t, "krt.yml", krt, "cmd/etl/main.go", "package main\n"))
	require.NoError(t, err)
	require.EqualError(t, subject.Problems.Err(), `workflows[0].nodes[0].src (line 7): "bin/etl" is not in the package`)
	require.EqualError(t, subject.Refusal(), "demo.krt: 1 complaint")
}

func TestComplainsAboutProtosAndManifestsThatAreTooLargeInAPackage(t *testing.T) {
	large := string(bytes.Repeat([]byte(" "), 3<<20))
	subject, err := look.Open(context.Background(), pack(t, "krt.yml", krt, "bin/etl", "", "public_input.proto", large))
	require.NoError(t, err)
	require.EqualError(t, subject.Problems.Err(), "public_input.proto: larger than 1048576 bytes")

	subject, err = look.Open(context.Background(), pack(t, "krt.yml", large))
	require.NoError(t, err)
	require.ErrorContains(t, subject.Problems.Err(), "krt.yml: larger than 524288 bytes")
	require.Nil(t, subject.Manifest)
}

func TestSaysWhatThereIsInsteadOfAVersion(t *testing.T) {
	_, err := look.Open(context.Background(), "nothing")
	require.EqualError(t, err, "nothing does not exist; name a project's folder, its manifest or a .krt")

	empty := t.TempDir()
	_, err = look.Open(context.Background(), empty)
	require.EqualError(t, err, empty+": no manifest: there is none of krt.yml, krt.yaml, kre.yaml, kre.yml")

	text := filepath.Join(project(t, map[string]string{"a.krt": "what somebody wrote"}), "a.krt")
	_, err = look.Open(context.Background(), text)
	require.ErrorIs(t, err, archive.ErrNotGzip)

	_, err = look.Open(context.Background(), pack(t, "README.md", ""))
	require.ErrorIs(t, err, archive.ErrNoManifest)

	_, err = look.Open(context.Background(), pack(t, "krt.yml", krt, "../x", ""))
	require.ErrorIs(t, err, archive.ErrOutside)
}

func TestALinkThatLeavesTheProjectIsNotFollowed(t *testing.T) {
	outside := project(t, map[string]string{"etl": ""})
	dir := project(t, map[string]string{"krt.yml": krt})
	require.NoError(t, os.Symlink(outside, filepath.Join(dir, "bin")))
	subject, err := look.Open(context.Background(), dir)
	require.NoError(t, err)
	require.ErrorContains(t, subject.Problems.Err(), `"bin/etl" is not in the project`)
}

func TestReadingAPackageEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := look.Open(ctx, pack(t, "krt.yml", krt))
	require.ErrorIs(t, err, context.Canceled)
}

func TestPrintsComplaintsAndWarningsApart(t *testing.T) {
	problems := manifest.Problems{
		{Path: "a", Line: 1, Message: "x"}, {Path: "b", Line: 2, Message: "y", Warning: true}, {Path: "c", Message: "z"},
	}
	var out bytes.Buffer
	look.Printer{Out: &out}.Problems(problems)
	require.Equal(t, "a (line 1): x\nc: z\n\nwarning: b (line 2): y\n", out.String())

	out.Reset()
	look.Printer{Out: &out, Color: true}.Problems(problems[:1])
	require.Equal(t, "\x1b[31ma\x1b[0m\x1b[2m (line 1)\x1b[0m: x\n", out.String())
}
