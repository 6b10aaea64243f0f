package manifest

import (
	"bytes"
	"io/fs"
	"path"
	"time"
)

// MaxKept is how many bytes the manifest and the protos of a package have at most, together: they are held in memory while it
// arrives.
const MaxKept = 8 << 20

// Kept are the files of a package that are held in memory, by path: enough of it to read a manifest and its protos while the
// rest passes by.
type Kept map[string][]byte

// Open implements fs.FS.
func (k Kept) Open(name string) (fs.File, error) {
	content, ok := k[name]
	if !ok {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &keptFile{Reader: bytes.NewReader(content), name: path.Base(name)}, nil
}

type keptFile struct {
	*bytes.Reader
	name string
}

func (f *keptFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *keptFile) Close() error               { return nil }
func (f *keptFile) Name() string               { return f.name }
func (f *keptFile) Mode() fs.FileMode          { return 0o444 }
func (f *keptFile) ModTime() time.Time         { return time.Time{} }
func (f *keptFile) IsDir() bool                { return false }
func (f *keptFile) Sys() any                   { return nil }
