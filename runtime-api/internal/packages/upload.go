package packages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
)

const (
	// inFlight is how many small files are on their way to the store at a time, so that thousands of them are not slow.
	inFlight = 4
	// smallFile is up to how many bytes a file may wait in memory for its turn.
	smallFile = 1 << 20
	// cleaning is how long the removal of an upload may take. What is left then, Sweep removes.
	cleaning = time.Minute
)

// Upload stores the package that is read from content, a `.krt` file, under the name that its manifest gives. It calls
// found once, as soon as the manifest can be judged: before content has ended, where manifest and protos come first. The
// same package again changes nothing.
//
// On any error nothing is left behind; a read of content that has begun may go on until content ends or fails. Kinds of
// error: fault.Invalid for a package that is refused; fault.AlreadyExists when that version has another package;
// fault.Exhausted when too many are uploaded at once, see gate; those of found, of reading content, and of Objects.
func (s *Service) Upload(ctx context.Context, content io.Reader, found func(Manifest) error) (_ *Package, err error) {
	if err := s.gate.enter(ctx); err != nil {
		return nil, err
	}
	defer s.gate.leave()
	ctx, content, done := s.gate.arriving(ctx, content)
	defer done()
	u := &upload{service: s, name: newUpload(), intake: newIntake(), found: found}
	s.setAlive(u.name, true)
	s.bucket.RLock()
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
		defer cancel()
		left := s.clear(ctx, u.prefix()) // see cleaning
		s.setAlive(u.name, false)
		s.bucket.RUnlock()
		if left == nil && err != nil {
			_ = s.dropBucket(ctx) // Sweep does
		}
	}()
	if err := s.objects.Make(ctx); err != nil {
		return nil, err
	}
	p, err := u.receive(ctx, content)
	if err != nil {
		return nil, refusal(err)
	}
	return s.commit(ctx, u, p)
}

// upload is a package on its way into the store.
type upload struct {
	service *Service
	name    string
	intake  *intake
	found   func(Manifest) error
	told    bool // found was called
}

func (u *upload) prefix() string { return uploadsPrefix + u.name + "/" }

func (u *upload) key(number int) string { return fmt.Sprintf("%s%d", u.prefix(), number) }

// receive stores every file below the upload's own prefix and returns what the package is.
func (u *upload) receive(ctx context.Context, content io.Reader) (*Package, error) {
	small, flying := newFlight(ctx, inFlight)
	pack, err := u.files(flying, small, content)
	if failed := small.land(flying); failed != nil {
		err = failed // what else went wrong follows from it
	}
	if err != nil {
		return nil, err
	}
	u.intake.whole = true
	var m *Manifest
	err = u.service.judging.do(ctx, func() error {
		m, err = u.intake.judge(ctx)
		return err
	})
	if err != nil {
		return nil, err
	}
	if !u.told {
		if err := u.found(*m); err != nil {
			return nil, err
		}
	}
	return &Package{Version: m.Version, Digest: pack.Digest, Size: pack.Size, Manifest: *m, Files: pack.Files}, nil
}

func (u *upload) files(ctx context.Context, small *flight, content io.Reader) (*archive.Package, error) {
	in, err := archive.NewReader(content, u.service.opts.Limits)
	if err != nil {
		return nil, err
	}
	for {
		file, err := in.Next()
		if errors.Is(err, io.EOF) {
			return in.Package(), nil
		}
		if err != nil {
			return nil, err
		}
		if keeps(file.Path) == 0 {
			if err := u.look(ctx, true); err != nil {
				return nil, err
			}
		}
		number, whole, err := u.intake.add(file, in)
		if err != nil {
			return nil, err
		}
		if keeps(file.Path) != 0 {
			err := u.service.judging.do(ctx, func() error { u.intake.read(file.Path); return nil })
			if err == nil {
				err = u.look(ctx, false)
			}
			if err != nil {
				return nil, err
			}
		}
		if err := u.put(ctx, small, u.key(number), whole, file.Size); err != nil {
			return nil, err
		}
	}
}

// look tells of the manifest if it can be judged now and was not before.
func (u *upload) look(ctx context.Context, others bool) error {
	if u.told {
		return nil
	}
	var m *Manifest
	err := u.service.judging.do(ctx, func() (err error) {
		m, err = u.intake.early(ctx, others)
		return err
	})
	if err != nil || m == nil {
		return err
	}
	u.told = true
	return u.found(*m)
}

// put stores a file: a small one while others arrive.
func (u *upload) put(ctx context.Context, small *flight, key string, content io.Reader, size int64) error {
	if size > smallFile {
		patient, done := outlive(ctx)
		defer done()
		return u.service.objects.Put(patient, key, until{ctx, content}, size)
	}
	held := make([]byte, size)
	if _, err := io.ReadFull(content, held); err != nil {
		return err
	}
	return small.start(ctx, func(ctx context.Context) error {
		return u.service.objects.Put(ctx, key, bytes.NewReader(held), size)
	})
}

// commit makes an upload the package of its version.
func (s *Service) commit(ctx context.Context, u *upload, p *Package) (*Package, error) {
	err := s.turn.do(ctx, func() error {
		stored, err := s.Get(ctx, p.Version)
		switch {
		case err == nil && stored.Digest == p.Digest:
			p = stored
			return nil
		case err == nil:
			return fault.New(fault.AlreadyExists, "version %s has another package, of digest %s; this one's is %s", p.Version, stored.Digest, p.Digest)
		case fault.KindOf(err) != fault.NotFound:
			return err
		}
		if err := s.settle(ctx, u, p); err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleaning)
			defer cancel()
			return errors.Join(err, s.undo(ctx, p))
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("store the package of version %s: %w", p.Version, err)
	}
	return p, nil
}

// settle copies the files to where lists name them, and writes the list.
func (s *Service) settle(ctx context.Context, u *upload, p *Package) error {
	copies, flying := newFlight(ctx, inFlight)
	settled := map[string]bool{}
	for _, file := range p.Files {
		if settled[file.SHA256] {
			continue
		}
		settled[file.SHA256] = true
		from, to, size := u.key(u.intake.numbers[file.Path]), contentKey(file.SHA256), file.Size
		if copies.start(flying, func(ctx context.Context) error { return s.objects.Place(ctx, from, to, size) }) != nil {
			break // land tells why
		}
	}
	err := copies.land(flying)
	if fault.KindOf(err) == fault.NotFound {
		return fault.Wrap(fault.Unavailable, err, "what was sent is gone from the object store: send the package again")
	}
	if err != nil {
		return err
	}
	patient, done := outlive(ctx)
	defer done()
	return s.writeList(patient, p)
}

// undo removes what settle left. The list may have been written by a request whose answer was lost.
func (s *Service) undo(ctx context.Context, p *Package) error {
	if err := s.objects.Remove(ctx, []Object{{Key: listKey(p.Version)}}); err != nil {
		return err
	}
	return s.dropUnnamed(ctx, p.Files)
}

// refusal gives what the reader of archives refuses a kind and a reason.
func refusal(err error) error {
	var bad *archive.Refusal
	if !errors.As(err, &bad) {
		return err
	}
	wrong := fault.New(fault.Invalid, "%s", bad.Error()).For(reasonPackage, "problem", bad.Kind.Error())
	if bad.Entry != "" {
		wrong.Metadata["entry"] = strings.ToValidUTF8(bad.Entry, "\uFFFD")
	}
	return wrong
}
