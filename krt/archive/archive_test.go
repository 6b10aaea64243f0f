package archive_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

// entry is an entry of an archive that a test makes; a file of mode 0644 unless it says otherwise.
type entry struct {
	name string
	body string
	kind byte
	mode int64
	link string
	size int64 // claimed, where it is not that of the body
}

// tarOf is an uncompressed archive of the entries, ended as it should be.
func tarOf(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, e := range entries {
		header := &tar.Header{Typeflag: e.kind, Name: e.name, Linkname: e.link, Mode: e.mode, Size: int64(len(e.body))}
		if e.kind == 0 {
			header.Typeflag = tar.TypeReg
		}
		if e.mode == 0 {
			header.Mode = 0o644
		}
		if e.size > 0 {
			header.Size = e.size
		}
		if e.kind == tar.TypeXGlobalHeader {
			header = &tar.Header{Typeflag: e.kind, PAXRecords: map[string]string{"comment": e.body}}
			e.body = ""
		}
		require.NoError(t, w.WriteHeader(header))
		_, err := io.WriteString(w, e.body)
		require.NoError(t, err)
	}
	if err := w.Close(); err != nil { // a claimed size is not met; the end is written by hand
		out.Write(make([]byte, 1024))
	}
	return out.Bytes()
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, err := w.Write(data)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// krt is a package with a manifest and the entries.
func krt(t testing.TB, entries ...entry) []byte {
	t.Helper()
	return gzipped(t, tarOf(t, append([]entry{{name: "krt.yml", body: "version: v"}}, entries...)...))
}

// write puts files into a new folder: a body by path; a path that ends in "*" is an executable without it.
func write(t testing.TB, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, body := range files {
		mode := os.FileMode(0o644)
		if strings.HasSuffix(name, "*") {
			name, mode = strings.TrimSuffix(name, "*"), 0o755
		}
		name = filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(body), mode))
	}
	return root
}

func paths(files []archive.File) []string {
	names := make([]string, 0, len(files))
	for _, f := range files {
		names = append(names, f.Path)
	}
	return names
}

// leftBehind answers what lies beside the folder that was to be unpacked.
func leftBehind(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(dir))
	require.NoError(t, err)
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

func TestDigestIsOfTheDocumentedBytes(t *testing.T) {
	// Computed apart from this code: the SHA-256 of "a", of "bb", and of the two records.
	const a = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
	const bb = "3b64db95cb55c763391c707108489ae18b4112d783300de38e033b4c98c3deaf"
	files := []archive.File{
		{Path: "krt.yml", Size: 1, SHA256: a},
		{Path: "bin/x", Executable: true, Size: 2, SHA256: bb},
	}
	require.Equal(t, "63c5f1e005dd45d934d1f1cbc0fe7ecf03ec1165426dcb8cf63ad5e4ea87c61b", archive.Digest(files))
	require.Equal(t, "krt.yml", files[0].Path, "the list that was handed in stays as it was")
}

func TestAPackageComesBackAsItWas(t *testing.T) {
	project := write(t, map[string]string{
		"krt.yml": "version: v", "public_input.proto": "syntax", "proto/more.proto": "syntax", "a.txt": "", "bin/node*": "\x7fELF",
		"models/m.bin": strings.Repeat("model", 100_000),
	})
	output := filepath.Join(t.TempDir(), "x.krt")
	var told int64
	packed, err := archive.Pack(t.Context(), project, output, archive.PackOptions{
		Progress: func(done, total int64) { require.LessOrEqual(t, done, total); told = done },
	})
	require.NoError(t, err)
	require.Empty(t, packed.LeftOut)
	require.Equal(t, packed.Size, told)
	info, err := os.Stat(output)
	require.NoError(t, err)
	require.Equal(t, info.Size(), packed.Bytes)

	data, err := os.ReadFile(output)
	require.NoError(t, err)
	dir := filepath.Join(t.TempDir(), "unpacked")
	told = 0
	unpacked, err := archive.Unpack(t.Context(), bytes.NewReader(data), dir, archive.UnpackOptions{
		Digest: packed.Digest, Progress: func(done int64) { told = done },
	})
	require.NoError(t, err)
	require.Equal(t, packed.Package, unpacked)
	require.Equal(t, unpacked.Size, told)

	read, err := archive.Dir(t.Context(), dir)
	require.NoError(t, err)
	require.Equal(t, packed.Package, read)

	for _, f := range unpacked.Files {
		want, err := os.ReadFile(filepath.Join(project, filepath.FromSlash(f.Path)))
		require.NoError(t, err)
		name := filepath.Join(dir, filepath.FromSlash(f.Path))
		got, err := os.ReadFile(name)
		require.NoError(t, err)
		require.Equal(t, want, got, f.Path)
		info, err := os.Stat(name)
		require.NoError(t, err)
		require.Equal(t, f.Path == "bin/node", info.Mode()&0o100 != 0, f.Path)
	}
	require.Equal(t, []string{"unpacked"}, leftBehind(t, dir))
}

func TestManifestAndProtosComeFirst(t *testing.T) {
	project := write(t, map[string]string{"krt.yml": "", "z.proto": "", "b/a.proto": "", "a": "", "b/x": "", ".krtignore": ""})
	output := filepath.Join(t.TempDir(), "x.krt")
	_, err := archive.Pack(t.Context(), project, output, archive.PackOptions{})
	require.NoError(t, err)
	file, err := os.Open(output)
	require.NoError(t, err)
	defer file.Close() //nolint:errcheck // only read
	r, err := archive.NewReader(file, archive.Limits{})
	require.NoError(t, err)
	var order []string
	for {
		f, err := r.Next()
		if err == io.EOF { //nolint:errorlint // as a reader answers it
			break
		}
		require.NoError(t, err)
		order = append(order, f.Path)
	}
	require.Equal(t, []string{"krt.yml", "b/a.proto", "z.proto", ".krtignore", "a", "b/x"}, order)
}

func TestPackingTwiceGivesTheSameBytes(t *testing.T) {
	var first []byte
	for range 2 {
		project := write(t, map[string]string{"krt.yml": "v", "bin/x*": strings.Repeat("x", 1000), "deep/er/y": "y"})
		output := filepath.Join(t.TempDir(), "x.krt")
		_, err := archive.Pack(t.Context(), project, output, archive.PackOptions{})
		require.NoError(t, err)
		data, err := os.ReadFile(output)
		require.NoError(t, err)
		if first == nil {
			first = data
		}
		require.Equal(t, first, data)
	}
}

func TestAnArchiveMadeByHandIsAccepted(t *testing.T) {
	data := gzipped(t, append(tarOf(t,
		entry{kind: tar.TypeXGlobalHeader, body: "a commit"},
		entry{name: "./", kind: tar.TypeDir, mode: 0o755},
		entry{name: "./src/", kind: tar.TypeDir, mode: 0o755},
		entry{name: "./src/main.py", body: "print()"},
		entry{name: "./bin/x", body: "\x7fELF", mode: 0o700},
		entry{name: "./empty/", kind: tar.TypeDir, mode: 0o755},
		entry{name: "./kre.yaml", body: "version: v"},
	), make([]byte, 20*512)...))
	dir := filepath.Join(t.TempDir(), "p")
	p, err := archive.Unpack(t.Context(), bytes.NewReader(data), dir, archive.UnpackOptions{})
	require.NoError(t, err)
	require.Equal(t, []string{"bin/x", "kre.yaml", "src/main.py"}, paths(p.Files))
	require.True(t, p.Files[0].Executable)
	require.False(t, p.Files[1].Executable)
	require.NoDirExists(t, filepath.Join(dir, "empty"), "an empty folder is nothing")
}

func TestAReaderYieldsTheManifestBeforeTheRestHasArrived(t *testing.T) {
	arrived, send := io.Pipe()
	data := krt(t, entry{name: "big", body: strings.Repeat("x", 1<<20)})
	go func() {
		_, _ = send.Write(data)
		_ = send.Close()
	}()
	r, err := archive.NewReader(arrived, archive.Limits{})
	require.NoError(t, err)
	f, err := r.Next()
	require.NoError(t, err)
	require.Equal(t, "krt.yml", f.Path)
	text, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "version: v", string(text))
	require.Nil(t, r.Package(), "nothing is known to be good yet")
	require.NoError(t, arrived.Close())
}

func TestUnpackingNeverTouchesWhatIsThere(t *testing.T) {
	dir := filepath.Join(write(t, map[string]string{"there/mine": "mine"}), "there")
	_, err := archive.Unpack(t.Context(), bytes.NewReader(krt(t)), dir, archive.UnpackOptions{})
	require.ErrorIs(t, err, os.ErrExist)
	require.FileExists(t, filepath.Join(dir, "mine"))
	require.Equal(t, []string{"there"}, leftBehind(t, dir))
}

func TestACancelledUnpackLeavesNothingBehind(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	dir := filepath.Join(t.TempDir(), "p")
	data := krt(t, entry{name: "a", body: strings.Repeat("a", 4<<20)}, entry{name: "b", body: "b"})
	_, err := archive.Unpack(ctx, bytes.NewReader(data), dir, archive.UnpackOptions{Progress: func(int64) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, leftBehind(t, dir))
}

func TestACancelledPackLeavesNothingBehind(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	project := write(t, map[string]string{"krt.yml": "", "a": strings.Repeat("a", 4<<20), "b": "b"})
	output := filepath.Join(t.TempDir(), "x.krt")
	_, err := archive.Pack(ctx, project, output, archive.PackOptions{Progress: func(int64, int64) { cancel() }})
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, leftBehind(t, output))
}
