package packages

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
)

func (s *Service) writeList(ctx context.Context, p *Package) error {
	content, err := json.Marshal(p)
	if err != nil {
		return fmt.Errorf("write the list of version %s: %w", p.Version, err)
	}
	return s.objects.Put(ctx, listKey(p.Version), bytes.NewReader(content), int64(len(content)))
}

func (s *Service) readList(ctx context.Context, key string) (_ *Package, err error) {
	content, err := s.objects.Get(ctx, key)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	p := new(Package)
	if err := json.NewDecoder(content).Decode(p); err != nil {
		return nil, fmt.Errorf("read %s: %w", key, err)
	}
	return p, nil
}

// lists yields what every version has, one after the other. An error ends it.
func (s *Service) lists(ctx context.Context) iter.Seq2[*Package, error] {
	return func(yield func(*Package, error) bool) {
		for object, err := range s.objects.List(ctx, listsPrefix) {
			if object.Unfinished {
				continue
			}
			var stored *Package
			if err == nil {
				stored, err = s.readList(ctx, object.Key)
			}
			if fault.KindOf(err) == fault.NotFound {
				continue // deleted meanwhile
			}
			if !yield(stored, err) || err != nil {
				return
			}
		}
	}
}

// dropUnnamed removes the contents of files that no list names. Whoever calls it is alone.
func (s *Service) dropUnnamed(ctx context.Context, files []archive.File) error {
	unnamed := map[Object]bool{}
	for _, file := range files {
		unnamed[Object{Key: contentKey(file.SHA256)}] = true
	}
	return s.drop(ctx, unnamed)
}

// drop removes those of the contents that no list names.
func (s *Service) drop(ctx context.Context, unnamed map[Object]bool) error {
	for stored, err := range s.lists(ctx) {
		if err != nil {
			return err
		}
		for _, file := range stored.Files {
			delete(unnamed, Object{Key: contentKey(file.SHA256)})
		}
		if len(unnamed) == 0 {
			return nil
		}
	}
	return s.objects.Remove(ctx, slices.Collect(maps.Keys(unnamed)))
}
