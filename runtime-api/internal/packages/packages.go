// Package packages keeps the packages of a runtime's versions in an object store: the content of each file once, under its
// SHA-256, and a list of files per version. It holds no package in memory, and knows neither the store's protocol nor the
// API's messages.
package packages

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
)

// Package is a stored package.
type Package struct {
	Version  string         `json:"version"` // mapped
	Digest   string         `json:"digest"`  // see archive.Digest
	Size     int64          `json:"size"`    // bytes of all files together
	Manifest Manifest       `json:"manifest"`
	Files    []archive.File `json:"files"` // by path
}

// Manifest is what the manifest of a package says that others need to know.
type Manifest struct {
	Version     string             `json:"version"`      // mapped
	DisplayName string             `json:"display_name"` // as written
	Description string             `json:"description,omitempty"`
	Variables   []string           `json:"variables,omitempty"` // names of the declared configuration
	Files       []string           `json:"files,omitempty"`
	Workflows   []Workflow         `json:"workflows"`
	Warnings    []manifest.Problem `json:"warnings,omitempty"`
}

// Workflow is a workflow as the manifest declares it.
type Workflow struct {
	Name      string `json:"name"`
	RPC       string `json:"rpc"`
	Exitpoint string `json:"exitpoint"`
	Nodes     []Node `json:"nodes"`
}

// Node is a node as the manifest declares it.
type Node struct {
	Name          string   `json:"name"`
	Src           string   `json:"src"`
	Subscriptions []string `json:"subscriptions"`
	Replicas      int      `json:"replicas"`
}

// Options are what may be other than usual.
type Options struct {
	Limits archive.Limits // of a package

	Uploads    int           // how many go on at a time; 0: 4
	Waiting    int           // how many others wait; 0: 64
	Patience   time.Duration // how long one waits; 0: a minute
	Standstill time.Duration // how long one that goes on may bring nothing while others wait; 0: 20 s
}

// Service keeps packages. One service at a time works on a bucket.
type Service struct {
	objects Store
	opts    Options
	// turn is who may name contents in a list, or remove contents that no list names.
	turn turn
	// judging is who reads a manifest and protos: it takes memory by what they are made of, and so does one at a time.
	judging turn
	gate    *gate

	// bucket is held by uploads that are going on, all together, and by who removes the bucket, alone.
	bucket sync.RWMutex

	mu    sync.Mutex
	alive map[string]bool // uploads that are going on
}

// New returns a service on top of an object store.
func New(objects Store, opts Options) *Service {
	return &Service{objects: objects, opts: opts, turn: newTurn(), judging: newTurn(), gate: newGate(opts), alive: map[string]bool{}}
}

// Get tells what is stored for a version.
//
// Kinds of error: fault.Invalid for a name that no version can have; fault.NotFound; those of Objects.
func (s *Service) Get(ctx context.Context, version string) (*Package, error) {
	if version == "" || manifest.ID(version) != version {
		return nil, fault.New(fault.Invalid, "version %q is no name of a version: want it as the engine shows it, e.g. prices-v1", version)
	}
	stored, err := s.readList(ctx, listKey(version))
	if fault.KindOf(err) == fault.NotFound {
		return nil, fault.New(fault.NotFound, "no package is stored for version %s", version)
	}
	return stored, err
}

// File opens a file of a version's package. The caller closes it.
//
// Kinds of error: those of Get, fault.NotFound also for a file that the package does not hold.
func (s *Service) File(ctx context.Context, version, path string) (io.ReadCloser, error) {
	stored, err := s.Get(ctx, version)
	if err != nil {
		return nil, err
	}
	i, found := slices.BinarySearchFunc(stored.Files, path, func(f archive.File, path string) int { return strings.Compare(f.Path, path) })
	if !found {
		return nil, fault.New(fault.NotFound, "the package of version %s holds no file %q", version, path)
	}
	return s.open(ctx, stored.Files[i])
}

// open opens the content of a file that a list names.
func (s *Service) open(ctx context.Context, file archive.File) (io.ReadCloser, error) {
	content, err := s.objects.Get(ctx, contentKey(file.SHA256))
	if fault.KindOf(err) == fault.NotFound {
		return nil, fault.Wrap(fault.Internal, err, "the content of %q is gone from the object store", file.Path)
	}
	return content, err
}

// Fetch hands each file of a version's package to next, which need not read its content to the end. It checks no digest:
// who receives the files does.
//
// Kinds of error: those of Get; fault.Precondition when the package has another digest; those of next.
func (s *Service) Fetch(ctx context.Context, version, digest string, next func(file archive.File, content io.Reader) error) error {
	stored, err := s.Get(ctx, version)
	if err != nil {
		return err
	}
	if stored.Digest != digest {
		return fault.New(fault.Precondition, "the package of version %s has the digest %s, not %q as expected", version, stored.Digest, digest)
	}
	for _, file := range stored.Files {
		if err := s.fetch(ctx, file, next); err != nil {
			return fmt.Errorf("fetch %q of version %s: %w", file.Path, version, err)
		}
	}
	return nil
}

func (s *Service) fetch(ctx context.Context, file archive.File, next func(archive.File, io.Reader) error) error {
	content, err := s.open(ctx, file)
	if err != nil {
		return err
	}
	return errors.Join(next(file, content), content.Close())
}

// List names the versions that have a package, with their digests.
func (s *Service) List(ctx context.Context) (map[string]string, error) {
	digests := map[string]string{}
	for stored, err := range s.lists(ctx) {
		if err != nil {
			return nil, err
		}
		digests[stored.Version] = stored.Digest
	}
	return digests, nil
}

// Delete removes the package of a version, and the contents that no other version has; with the last, also the bucket.
// What is not there is no error.
func (s *Service) Delete(ctx context.Context, version string) error {
	return s.turn.do(ctx, func() error {
		stored, err := s.Get(ctx, version)
		if fault.KindOf(err) == fault.NotFound {
			return s.dropBucket(ctx)
		}
		if err != nil {
			return err
		}
		if err := s.objects.Remove(ctx, []Object{{Key: listKey(version)}}); err != nil {
			return fmt.Errorf("delete the package of version %s: %w", version, err)
		}
		return errors.Join(s.dropUnnamed(ctx, stored.Files), s.dropBucket(ctx))
	})
}

// dropBucket removes the bucket if it is empty and nobody is about to change that.
func (s *Service) dropBucket(ctx context.Context) error {
	if !s.bucket.TryLock() {
		return nil // whoever holds it does this afterwards, unless there is something then
	}
	defer s.bucket.Unlock()
	return s.objects.Drop(ctx)
}

// turn holds one token.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// do does something while nobody else does anything in this turn.
func (t turn) do(ctx context.Context, do func() error) error {
	select {
	case t <- struct{}{}:
		defer func() { <-t }()
		return do()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
