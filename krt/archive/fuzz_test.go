package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"path"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

// FuzzReader feeds the reader tar archives, compressed here so that the fuzzer need not find out about checksums. It
// refuses or accepts; what it accepts keeps to the limits and to its root, and its digest is that of its files.
func FuzzReader(f *testing.F) {
	manifest := entry{name: "krt.yml", body: "version: v"}
	for _, entries := range [][]entry{
		{manifest, {name: "./src/", kind: tar.TypeDir}, {name: "./src/main.py", body: "x", mode: 0o755}},
		{manifest, {name: "../x"}},
		{manifest, {name: "a", kind: tar.TypeSymlink, link: "/etc"}},
		{manifest, {name: "a"}, {name: "a/b"}},
		{manifest, {name: strings.Repeat("long/", 60) + "x"}},
		{manifest, {name: "big", size: 1 << 40}},
		{{name: "krt.yml"}, {name: "kre.yml"}},
	} {
		data := tarOf(f, entries...)
		f.Add(data, len(data))
		f.Add(data, len(data)/2)
	}
	limits := archive.Limits{MaxEntries: 50, MaxBytes: 1 << 20}
	f.Fuzz(func(t *testing.T, data []byte, whole int) {
		if whole < 0 || whole > len(data) {
			whole = len(data)
		}
		r, err := archive.NewReader(bytes.NewReader(append(gzipped(t, data[:whole]), data[whole:]...)), limits)
		require.NoError(t, err, "it is gzip")
		var files []archive.File
		for {
			file, err := r.Next()
			if err != nil {
				var refusal *archive.Refusal
				require.True(t, errors.Is(err, io.EOF) || errors.As(err, &refusal), "%v", err)
				break
			}
			require.False(t, path.IsAbs(file.Path) || strings.Contains(file.Path, `\`), file.Path)
			require.Equal(t, path.Clean("/" + file.Path)[1:], file.Path)
			files = append(files, file)
		}
		p := r.Package()
		if p == nil {
			return
		}
		require.Len(t, p.Files, len(files))
		require.LessOrEqual(t, len(p.Files), limits.MaxEntries)
		require.LessOrEqual(t, p.Size, limits.MaxBytes)
		require.Equal(t, archive.Digest(p.Files), p.Digest)
	})
}

// FuzzCompressed feeds it bytes as they are.
func FuzzCompressed(f *testing.F) {
	good := krt(f, entry{name: "a", body: strings.Repeat("text ", 500)})
	f.Add(good)
	f.Add(good[:len(good)/2])
	f.Add(append(bytes.Clone(good), good...))
	f.Add([]byte("\x1f\x8b"))
	f.Fuzz(func(t *testing.T, data []byte) {
		r, err := archive.NewReader(bytes.NewReader(data), archive.Limits{MaxEntries: 50, MaxBytes: 1 << 20})
		for err == nil {
			_, err = r.Next()
		}
		var refusal *archive.Refusal
		require.True(t, errors.Is(err, io.EOF) || errors.As(err, &refusal), "%v", err)
	})
}
