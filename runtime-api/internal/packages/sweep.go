package packages

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// newUpload is the name of an upload, which tells when it began.
func newUpload() string {
	return fmt.Sprintf("%d-%s", time.Now().UnixMilli(), rand.Text())
}

// begun is when an upload began; the zero time if the name does not tell.
func begun(upload string) time.Time {
	stamp, _, _ := strings.Cut(upload, "-")
	if ms, err := strconv.ParseInt(stamp, 10, 64); err == nil {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

func (s *Service) setAlive(upload string, alive bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if alive {
		s.alive[upload] = true
	} else {
		delete(s.alive, upload)
	}
}

func (s *Service) isAlive(upload string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.alive[upload]
}

// Sweep removes what services left behind that were ended in the middle of something: uploads that are not going on and
// began at least age ago, contents that no list names, and a bucket that holds nothing.
func (s *Service) Sweep(ctx context.Context, age time.Duration) error {
	if err := s.sweepUploads(ctx, time.Now().Add(-age)); err != nil {
		return fmt.Errorf("sweep uploads: %w", err)
	}
	err := s.turn.do(ctx, func() error {
		contents := map[Object]bool{}
		for object, err := range s.objects.List(ctx, contentsPrefix) {
			if err != nil {
				return err
			}
			contents[object] = true
		}
		return errors.Join(s.drop(ctx, contents), s.dropBucket(ctx))
	})
	if err != nil {
		return fmt.Errorf("sweep contents: %w", err)
	}
	return nil
}

func (s *Service) sweepUploads(ctx context.Context, before time.Time) error {
	abandoned := map[string]bool{}
	for object, err := range s.objects.List(ctx, uploadsPrefix) {
		if err != nil {
			return err
		}
		upload, _, _ := strings.Cut(strings.TrimPrefix(object.Key, uploadsPrefix), "/")
		if !s.isAlive(upload) && !begun(upload).After(before) {
			abandoned[upload] = true
		}
	}
	for upload := range abandoned {
		if err := s.clear(ctx, uploadsPrefix+upload+"/"); err != nil {
			return err
		}
	}
	return nil
}

// clear removes all that lies below a prefix.
func (s *Service) clear(ctx context.Context, prefix string) error {
	const atOnce = 1000
	var some []Object
	for object, err := range s.objects.List(ctx, prefix) {
		if err != nil {
			return err
		}
		if some = append(some, object); len(some) < atOnce {
			continue
		}
		if err := s.objects.Remove(ctx, some); err != nil {
			return err
		}
		some = nil
	}
	return s.objects.Remove(ctx, some)
}
