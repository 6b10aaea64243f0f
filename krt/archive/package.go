// Package archive reads and writes the .krt format: a gzip-compressed tar with a manifest at its root. Everything is
// streamed; no package is ever held in memory. What a manifest says is not this package's business.
package archive

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/konstellation-io/kre/krt/manifest"
)

// File is one file of a package.
type File struct {
	Path       string `json:"path"` // slash-separated, relative to the package's root
	Executable bool   `json:"executable,omitempty"`
	Size       int64  `json:"size"`   // bytes
	SHA256     string `json:"sha256"` // of its content, lower-case hexadecimal
}

// Package is what a package holds: its identity and the files that make it up.
type Package struct {
	Digest string // see [Digest]
	Files  []File // sorted by path
	Size   int64  // bytes of all files together
}

// Digest is the identity of a package: the SHA-256, in lower-case hexadecimal, of one record per file in ascending
// order of the paths' bytes. A record is
//
//	<path> NUL <"x" if executable, else "-"> NUL <size in decimal> NUL <SHA-256 in lower-case hexadecimal> LF
//
// Folders, times, owners and the order of the archive have no part in it, so a file is executable or not, and an
// empty folder is nothing.
func Digest(files []File) string {
	sum := sha256.New()
	out := bufio.NewWriter(sum)
	for _, f := range sorted(files) {
		kind := "-"
		if f.Executable {
			kind = "x"
		}
		for _, field := range []string{f.Path, "\x00", kind, "\x00", strconv.FormatInt(f.Size, 10), "\x00", f.SHA256, "\n"} {
			_, _ = io.WriteString(out, field) // a hash takes everything
		}
	}
	_ = out.Flush()
	return hex.EncodeToString(sum.Sum(nil))
}

// newPackage makes the package that consists of files.
func newPackage(files []File) *Package {
	p := &Package{Digest: Digest(files), Files: sorted(files)}
	for _, f := range files {
		p.Size += f.Size
	}
	return p
}

func sorted(files []File) []File {
	files = slices.Clone(files)
	slices.SortFunc(files, func(a, b File) int { return strings.Compare(a.Path, b.Path) })
	return files
}

func isManifest(path string) bool { return slices.Contains(manifest.FileNames(), path) }
