package archive

import (
	"path"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/konstellation-io/kre/krt/manifest"
)

// cleanPath turns an entry's name into a path below the package's root, "." for the root itself, and refuses a name that
// could mean anything else, on any system.
func cleanPath(name string) (string, error) {
	if len(name) > maxPathBytes {
		return "", refuse(ErrName, beginning(name), "the name of entry %q is longer than %d bytes", beginning(name), maxPathBytes)
	}
	if !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return "", refuse(ErrName, name, "the name of entry %q is not plain UTF-8 text", name)
	}
	drive := len(name) > 1 && name[1] == ':' && (name[0]|0x20 >= 'a' && name[0]|0x20 <= 'z')
	if strings.HasPrefix(name, "/") || drive {
		return "", refuse(ErrOutside, name, "entry %q leaves the package's root: its path is absolute", name)
	}
	if strings.Contains(name, `\`) {
		return "", refuse(ErrOutside, name, "entry %q has a backslash in its name, which leaves the package's root on some systems", name)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", refuse(ErrOutside, name, "entry %q leaves the package's root: its path holds ..", name)
		}
		if len(part) > maxNameBytes {
			return "", refuse(ErrName, name, "entry %q has a name of %d bytes; no file system takes more than %d",
				beginning(name), len(part), maxNameBytes)
		}
	}
	return path.Clean(name), nil
}

// beginning is that of a long name.
func beginning(name string) string {
	const enough = 64
	if len(name) <= enough {
		return name
	}
	return strings.ToValidUTF8(name[:enough], "") + "…"
}

// pathSet knows the files and folders of a package.
type pathSet struct {
	max       int
	kinds     map[string]pathKind
	manifests []string
	kept      int64 // bytes of the manifest and the protos
}

type pathKind byte

const (
	isFile   pathKind = iota + 1
	isFolder          // an entry says so
	isParent          // an entry below it says so
)

func newPathSet(limit int) *pathSet { return &pathSet{max: limit, kinds: make(map[string]pathKind)} }

// add takes in one entry; name is how the archive spells it.
func (s *pathSet) add(p string, folder bool, name string) error {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if kind := s.kinds[dir]; kind == isFile {
			return refuse(ErrDuplicate, name, "entry %q lies in %q, which is a file", name, dir)
		} else if kind != 0 {
			break
		}
		s.kinds[dir] = isParent
	}
	kind := s.kinds[p]
	switch {
	case kind == isFile && folder, kind == isParent && !folder, kind == isFolder && !folder:
		return refuse(ErrDuplicate, name, "entry %q is both a file and a folder", name)
	case kind == isFile, kind == isFolder:
		return refuse(ErrDuplicate, name, "entry %q is there twice", name)
	}
	s.kinds[p] = isFile
	if folder {
		s.kinds[p] = isFolder
	}
	if len(s.kinds) > s.max {
		return refuse(ErrTooManyEntries, name, "the package has more than %d files and folders, the limit", s.max)
	}
	if !folder && isManifest(p) {
		s.manifests = append(s.manifests, p)
		if len(s.manifests) == 2 {
			return refuse(ErrTwoManifests, name, "the package has two manifests, %s and %s: keep one", s.manifests[0], s.manifests[1])
		}
	}
	return nil
}

// keep takes in the size of a file, of which only that of a manifest or proto matters.
func (s *pathSet) keep(p string, size int64, name string) error {
	if !isManifest(p) && path.Ext(p) != ".proto" {
		return nil
	}
	if s.kept += size; s.kept > manifest.MaxKept {
		return refuse(ErrTooLarge, name,
			"the manifest and the protos of the package have more than %d bytes together, the limit, at entry %q", manifest.MaxKept, name)
	}
	return nil
}

// checkManifest refuses a package without a manifest.
func (s *pathSet) checkManifest() error {
	if len(s.manifests) == 0 {
		return refuse(ErrNoManifest, "",
			"the package has no manifest: one of %s must be at its root", strings.Join(manifest.FileNames(), ", "))
	}
	return nil
}
