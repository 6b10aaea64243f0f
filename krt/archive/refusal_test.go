package archive_test

import (
	"archive/tar"
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

func TestRefusesWhatIsNoGoodPackage(t *testing.T) {
	good := krt(t, entry{name: "a", body: strings.Repeat("some text, ", 1000)})
	manifest := entry{name: "krt.yml", body: "version: v"}
	long := strings.Repeat("long/", 300) + "file"
	cases := map[string]struct {
		data   []byte
		limits archive.Limits
		kind   error
		text   string
	}{
		"leaving by ..": {
			data: krt(t, entry{name: "src/../../x"}), kind: archive.ErrOutside,
			text: `entry "src/../../x" leaves the package's root: its path holds ..`,
		},
		"leaving and coming back": {
			data: krt(t, entry{name: "src/../x"}), kind: archive.ErrOutside,
			text: `entry "src/../x" leaves the package's root: its path holds ..`,
		},
		"absolute": {
			data: krt(t, entry{name: "/etc/passwd"}), kind: archive.ErrOutside,
			text: `entry "/etc/passwd" leaves the package's root: its path is absolute`,
		},
		"drive": {
			data: krt(t, entry{name: "C:/windows/x"}), kind: archive.ErrOutside,
			text: `entry "C:/windows/x" leaves the package's root: its path is absolute`,
		},
		"backslash": {
			data: krt(t, entry{name: `src\..\..\x`}), kind: archive.ErrOutside,
			text: `entry "src\\..\\..\\x" has a backslash in its name, which leaves the package's root on some systems`,
		},
		"folder leaving": {
			data: krt(t, entry{name: "../", kind: tar.TypeDir}), kind: archive.ErrOutside,
			text: `entry "../" leaves the package's root: its path holds ..`,
		},
		"control character": {
			data: krt(t, entry{name: "a\nb"}), kind: archive.ErrName,
			text: `the name of entry "a\nb" is not plain UTF-8 text`,
		},
		"long name": {
			data: krt(t, entry{name: long}), kind: archive.ErrName,
			text: `the name of entry "` + long[:64] + `…" is longer than 1024 bytes`,
		},
		"long name of a folder": {
			data: krt(t, entry{name: "a/" + strings.Repeat("n", 256) + "/b"}), kind: archive.ErrName,
			text: `entry "a/` + strings.Repeat("n", 62) + `…" has a name of 256 bytes; no file system takes more than 255`,
		},
		"large protos": {
			data: krt(t, entry{name: "a.proto", size: 9 << 20}), kind: archive.ErrTooLarge,
			text: `the manifest and the protos of the package have more than 8388608 bytes together, the limit, at entry "a.proto"`,
		},
		"file without a name": {
			data: krt(t, entry{name: "."}), kind: archive.ErrName,
			text: `entry "." is a file without a name`,
		},
		"symbolic link": {
			data: krt(t, entry{name: "a", kind: tar.TypeSymlink, link: "krt.yml"}), kind: archive.ErrLink,
			text: `entry "a" is a link: a package holds files only (kre pack stores what a link points to)`,
		},
		"hard link": {
			data: krt(t, entry{name: "a", kind: tar.TypeLink, link: "krt.yml"}), kind: archive.ErrLink,
			text: `entry "a" is a link: a package holds files only (kre pack stores what a link points to)`,
		},
		"device": {
			data: krt(t, entry{name: "null", kind: tar.TypeChar}), kind: archive.ErrSpecial,
			text: `entry "null" is a device or a pipe: a package holds files only`,
		},
		"block device": {
			data: krt(t, entry{name: "sda", kind: tar.TypeBlock}), kind: archive.ErrSpecial,
			text: `entry "sda" is a device or a pipe: a package holds files only`,
		},
		"pipe": {
			data: krt(t, entry{name: "pipe", kind: tar.TypeFifo}), kind: archive.ErrSpecial,
			text: `entry "pipe" is a device or a pipe: a package holds files only`,
		},
		"unknown kind": {
			data: krt(t, entry{name: "odd", kind: 'Z'}), kind: archive.ErrSpecial,
			text: `entry "odd" is of the unknown kind 'Z': a package holds files only`,
		},
		"twice": {
			data: krt(t, entry{name: "a"}, entry{name: "a"}), kind: archive.ErrDuplicate,
			text: `entry "a" is there twice`,
		},
		"twice, spelt differently": {
			data: krt(t, entry{name: "a/b"}, entry{name: "./a//b"}), kind: archive.ErrDuplicate,
			text: `entry "./a//b" is there twice`,
		},
		"folder twice": {
			data: krt(t, entry{name: "a/", kind: tar.TypeDir}, entry{name: "a/", kind: tar.TypeDir}), kind: archive.ErrDuplicate,
			text: `entry "a/" is there twice`,
		},
		"file as folder": {
			data: krt(t, entry{name: "a"}, entry{name: "a/b/c"}), kind: archive.ErrDuplicate,
			text: `entry "a/b/c" lies in "a", which is a file`,
		},
		"folder as file": {
			data: krt(t, entry{name: "a/b"}, entry{name: "a"}), kind: archive.ErrDuplicate,
			text: `entry "a" is both a file and a folder`,
		},
		"too many entries": {
			data:   krt(t, entry{name: "a"}, entry{name: "b"}, entry{name: "c"}),
			limits: archive.Limits{MaxEntries: 3}, kind: archive.ErrTooManyEntries,
			text: `the package has more than 3 files and folders, the limit`,
		},
		"too many folders": {
			data:   krt(t, entry{name: "a/b/c/d"}),
			limits: archive.Limits{MaxEntries: 3}, kind: archive.ErrTooManyEntries,
			text: `the package has more than 3 files and folders, the limit`,
		},
		"too many bytes": {
			data:   krt(t, entry{name: "a", body: "12345"}, entry{name: "b", body: "12345"}),
			limits: archive.Limits{MaxBytes: 19}, kind: archive.ErrTooLarge,
			text: `the package unpacks to more than 19 bytes, the limit, at entry "b"`,
		},
		"more bytes than can be counted": {
			data: gzipped(t, tarOf(t, manifest, entry{name: "a", size: 1<<63 - 1})), kind: archive.ErrTooLarge,
			text: `the package unpacks to more than 68719476736 bytes, the limit, at entry "a"`,
		},
		"truncated in compression": {
			data: good[:len(good)-20], kind: archive.ErrTruncated,
			text: `the package is truncated: it ends before its last entry does`,
		},
		"truncated before the checksum": {
			data: good[:len(good)-3], kind: archive.ErrTruncated,
			text: `the package is truncated: it ends before its last entry does`,
		},
		"truncated at its start": {
			data: good[:5], kind: archive.ErrTruncated,
			text: `the package is truncated: it ends before its last entry does`,
		},
		"truncated in an entry": {
			data: gzipped(t, tarOf(t, manifest, entry{name: "a", body: strings.Repeat("a", 2000)})[:1024+512+700]), kind: archive.ErrTruncated,
			text: `the package is truncated: it ends before its last entry does`,
		},
		"truncated between entries": {
			data: gzipped(t, tarOf(t, manifest)[:1024]), kind: archive.ErrTruncated,
			text: `the package is truncated: it ends before its last entry does`,
		},
		"damaged": {
			data: damaged(good), kind: archive.ErrDamaged,
			text: `the package is damaged: its content does not match its checksum`,
		},
		"damaged header": {
			data: gzipped(t, append(tarOf(t, manifest)[:1024], bytes.Repeat([]byte("x"), 1024)...)), kind: archive.ErrDamaged,
			text: `the package is damaged: an entry's header cannot be read`,
		},
		"bytes after the compression": {
			data: append(bytes.Clone(good), "more"...), kind: archive.ErrTrailing,
			text: `the package goes on after its end: bytes follow the archive`,
		},
		"bytes after the tar": {
			data: gzipped(t, append(tarOf(t, manifest), "more"...)), kind: archive.ErrTrailing,
			text: `the package goes on after its end: bytes follow the archive`,
		},
		"a second package after it": {
			data: append(bytes.Clone(good), good...), kind: archive.ErrTrailing,
			text: `the package goes on after its end: bytes follow the archive`,
		},
		"endless padding": {
			data: gzipped(t, append(tarOf(t, manifest), make([]byte, 5<<20)...)), kind: archive.ErrTrailing,
			text: `the package goes on after its end: bytes follow the archive`,
		},
		"not gzip": {
			data: tarOf(t, manifest), kind: archive.ErrNotGzip,
			text: `this is not a .krt: it is not compressed with gzip`,
		},
		"nothing": {
			data: nil, kind: archive.ErrNotGzip,
			text: `this is not a .krt: it is not compressed with gzip`,
		},
		"not tar": {
			data: gzipped(t, bytes.Repeat([]byte("no tar "), 500)), kind: archive.ErrNotTar,
			text: `this is not a .krt: what it unpacks to is not a tar archive`,
		},
		"not tar and short": {
			data: gzipped(t, []byte("no tar")), kind: archive.ErrNotTar,
			text: `this is not a .krt: what it unpacks to is not a tar archive`,
		},
		"nothing, compressed": {
			data: gzipped(t, nil), kind: archive.ErrNotTar,
			text: `this is not a .krt: what it unpacks to is not a tar archive`,
		},
		"no manifest": {
			data: gzipped(t, tarOf(t, entry{name: "a"}, entry{name: "sub/krt.yml"})), kind: archive.ErrNoManifest,
			text: `the package has no manifest: one of krt.yml, krt.yaml, kre.yaml, kre.yml must be at its root`,
		},
		"two manifests": {
			data: krt(t, entry{name: "kre.yaml"}), kind: archive.ErrTwoManifests,
			text: `the package has two manifests, krt.yml and kre.yaml: keep one`,
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "p")
			p, err := archive.Unpack(t.Context(), bytes.NewReader(c.data), dir, archive.UnpackOptions{Limits: c.limits})
			require.Nil(t, p)
			require.EqualError(t, err, c.text)
			require.ErrorIs(t, err, c.kind)
			var refusal *archive.Refusal
			require.ErrorAs(t, err, &refusal)
			require.Empty(t, leftBehind(t, dir))
		})
	}
}

// damaged flips one bit of the checksum.
func damaged(data []byte) []byte {
	data = bytes.Clone(data)
	data[len(data)-8] ^= 1
	return data
}

func TestRefusesAnotherPackageThanTheOneExpected(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "p")
	_, err := archive.Unpack(t.Context(), bytes.NewReader(krt(t)), dir, archive.UnpackOptions{Digest: strings.Repeat("0", 64)})
	require.ErrorIs(t, err, archive.ErrDigest)
	require.EqualError(t, err, "the package's digest is 7f08de8d433acc3732e912449201fb39da3b44660c6d66e2c5fb4bfe5b54c246"+
		", not "+strings.Repeat("0", 64)+" as expected: it is another package")
	require.Empty(t, leftBehind(t, dir))
}

func TestAReaderThatHasRefusedGoesOnRefusing(t *testing.T) {
	r, err := archive.NewReader(bytes.NewReader(krt(t, entry{name: "/x"}, entry{name: "y"})), archive.Limits{})
	require.NoError(t, err)
	_, err = r.Next()
	require.NoError(t, err)
	for range 2 {
		_, err = r.Next()
		require.ErrorIs(t, err, archive.ErrOutside)
	}
	_, err = r.Read(make([]byte, 1))
	require.ErrorIs(t, err, archive.ErrOutside)
	require.Nil(t, r.Package())
}

func TestAnUnpackedFolderWithALinkIsNoPackage(t *testing.T) {
	dir := write(t, map[string]string{"krt.yml": ""})
	require.NoError(t, os.Symlink("krt.yml", filepath.Join(dir, "link")))
	_, err := archive.Dir(t.Context(), dir)
	require.ErrorIs(t, err, archive.ErrLink)
	require.EqualError(t, err, `read the unpacked package: "link" is a link: a package holds files only`)
}
