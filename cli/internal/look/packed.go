package look

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"path"
	"slices"

	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/protos"
)

// packed is a package of which only the manifest and the protos were kept; it is what manifest.Check needs of it.
type packed struct {
	pack     *archive.Package
	contents map[string][]byte
	sizes    map[string]int64
}

func readPacked(ctx context.Context, r io.Reader) (*packed, error) {
	reader, err := archive.NewReader(untilDone{ctx, r}, archive.Limits{})
	if err != nil {
		return nil, err
	}
	p := &packed{contents: map[string][]byte{}, sizes: map[string]int64{}}
	for {
		file, err := reader.Next()
		if errors.Is(err, io.EOF) {
			p.pack = reader.Package()
			return p, nil
		}
		if err != nil {
			return nil, err
		}
		p.sizes[file.Path] = file.Size
		limit := keep(file.Path)
		if limit == 0 {
			continue
		}
		content, err := io.ReadAll(io.LimitReader(reader, limit))
		if err != nil {
			return nil, err
		}
		p.contents[file.Path] = content
	}
}

// keep is how many bytes of a file are of interest: one more than is allowed, so that too many are noticed.
func keep(name string) int64 {
	switch {
	case slices.Contains(manifest.FileNames(), name):
		return manifest.MaxBytes + 1
	case path.Ext(name) == ".proto":
		return protos.MaxFileBytes + 1
	}
	return 0
}

// Exists reports whether the package holds the file.
func (p *packed) Exists(name string) bool {
	_, ok := p.sizes[name]
	return ok
}

// Names lists all files of the package.
func (p *packed) Names() []string {
	var names []string
	for _, file := range p.pack.Files {
		names = append(names, file.Path)
	}
	return names
}

// Open opens a file whose content was kept.
func (p *packed) Open(name string) (fs.File, error) {
	return manifest.Kept(p.contents).Open(name)
}

// untilDone ends reading with its context.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}
