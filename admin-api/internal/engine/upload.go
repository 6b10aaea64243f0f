package engine

import (
	"context"
	"crypto/rand"
	"errors"
	"io"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
)

// giveUpLimit is how long taking back a reservation may take after its upload has failed.
const giveUpLimit = 10 * time.Second

// UploadVersion stores the package that content yields as a new version. As soon as its manifest is known and right, its
// name is reserved: from then on others see it as CREATING. AlreadyExists: the name is in use, and what is there is told.
// Nothing is left of an upload that fails.
func (e *Engine) UploadVersion(ctx context.Context, runtime, comment string, content io.Reader) (Version, error) {
	if err := checkText("comment", comment); err != nil {
		return Version{}, err
	}
	ledger, err := e.ledger(ctx, runtime)
	if err != nil {
		return Version{}, err
	}
	if ledger.Deleting {
		return Version{}, deleting(runtime)
	}
	address, err := e.address(ctx, runtime)
	if err != nil {
		return Version{}, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r := &reservation{engine: e, runtime: runtime, upload: rand.Text(), address: address, lost: cancel}
	stored, err := e.Runtimes.UploadPackage(ctx, address, content, func(manifest Manifest) error { return r.reserve(ctx, manifest) })
	if err == nil {
		var version Version
		if version, err = r.complete(ctx, stored, comment); err == nil {
			return version, nil
		}
	}
	r.giveUp(ctx)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		err = cause // the lease was lost
	}
	return Version{}, serviceError(err)
}

// reservation is the name of a version that is being uploaded.
type reservation struct {
	engine  *Engine
	runtime string
	upload  string
	address string // of the runtime's service
	lost    context.CancelCauseFunc

	details Details
	taken   bool
	stop    context.CancelFunc
	renewed sync.WaitGroup
}

// reserve takes the name and keeps it until the reservation ends.
func (r *reservation) reserve(ctx context.Context, manifest Manifest) error {
	e := r.engine
	r.details = Details{
		Runtime: r.runtime, Key: Key{Version: manifest.Version, Upload: r.upload}, DisplayName: manifest.DisplayName,
		Description: manifest.Description, Variables: manifest.Variables, Files: manifest.Files, Workflows: manifest.Workflows,
		Warnings: manifest.Warnings,
	}
	_, err := e.change(ctx, r.runtime, func(l *Ledger) error {
		if l.Deleting {
			return deleting(r.runtime)
		}
		if there := l.Entry(manifest.Version); there != nil {
			return exists(r.runtime, showVersion(l, there, Details{}, e.observed.of(r.runtime)))
		}
		l.insert(Entry{
			Name: manifest.Version, Upload: r.upload, CreateTime: now(), CreateRevision: l.Revision, Creator: actorOf(ctx),
			Revision: l.Revision, Lease: now().Add(e.opts.Lease),
		})
		return nil
	})
	if err != nil {
		return err
	}
	r.taken = true
	renewing, stop := context.WithCancel(ctx)
	r.stop = stop
	r.renewed.Go(func() { r.renew(renewing) })
	return nil
}

// errSwept says that a reservation could not be prolonged in time.
func errSwept() error {
	return fault.New(fault.Unavailable, "the upload was given up, since the store did not hear of it for too long; upload again").
		For(ReasonUnavailable, "service", "the store")
}

// renew prolongs the lease until it is stopped. A lease that was swept ends the upload; a store that is away does not, yet.
func (r *reservation) renew(ctx context.Context) {
	for {
		wait(ctx, r.engine.opts.Lease/3)
		if ctx.Err() != nil {
			return
		}
		swept := false
		_, err := r.engine.change(ctx, r.runtime, func(l *Ledger) error {
			entry := r.mine(l)
			if swept = entry == nil; swept {
				return errSwept()
			}
			entry.Lease = now().Add(r.engine.opts.Lease)
			return nil
		})
		if swept || err != nil && fault.KindOf(err) == fault.NotFound {
			r.lost(errSwept())
			return
		}
	}
}

// mine is the entry that this reservation holds, nil if it does not any more.
func (r *reservation) mine(l *Ledger) *Entry {
	entry := l.Entry(r.details.Key.Version)
	if entry == nil || entry.Upload != r.upload || !entry.Creating() {
		return nil
	}
	return entry
}

// complete makes a version of the reservation: its records are written before the ledger names it whole.
func (r *reservation) complete(ctx context.Context, stored Package, comment string) (Version, error) {
	e := r.engine
	if !r.taken {
		return Version{}, errors.New("a package was stored and nobody was asked for its name")
	}
	if err := e.Store.PutDetails(ctx, r.details); err != nil {
		return Version{}, storeError(err)
	}
	r.end()
	ledger, err := e.change(ctx, r.runtime, func(l *Ledger) error {
		entry := r.mine(l)
		switch {
		case l.Deleting:
			return deleting(r.runtime)
		case entry == nil:
			return errSwept()
		}
		settings, err := e.inherit(ctx, l, r.details)
		if err != nil {
			return err
		}
		if entry.Config, err = e.putConfig(ctx, l, entry.Key(), settings); err != nil {
			return err
		}
		entry.Lease, entry.Digest, entry.Size, entry.Revision = time.Time{}, stored.Digest, stored.Size, l.Revision
		entry.Missing = lacks(r.details, settings)
		note(ctx, l, ActionCreateVersion, entry.Name, comment, map[string]string{"digest": stored.Digest})
		return nil
	})
	if err != nil {
		return Version{}, err
	}
	r.taken = false
	return showVersion(&ledger, ledger.Entry(r.details.Key.Version), r.details, e.observed.of(r.runtime)), nil
}

// end stops prolonging the lease.
func (r *reservation) end() {
	if r.stop != nil {
		r.stop()
		r.renewed.Wait()
	}
}

// giveUp takes the reservation back, even though the caller has gone. Should that fail, it ends with its lease.
func (r *reservation) giveUp(ctx context.Context) {
	r.end()
	if !r.taken {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpLimit)
	defer cancel()
	if err := r.engine.abandon(ctx, r.runtime, r.address, r.details.Key); err != nil {
		r.engine.log.Warn("a reservation could not be taken back; it ends with its lease", nameFields(r.runtime, r.details.Key.Version, err)...)
	}
}

// abandon removes what is left of an upload that was never completed. While the entry is there nobody else can take the
// name, so what goes is that upload's; the entry goes last.
func (e *Engine) abandon(ctx context.Context, runtime, address string, key Key) error {
	held := func(l *Ledger) bool {
		entry := l.Entry(key.Version)
		return entry != nil && entry.Key() == key && entry.Creating()
	}
	ledger, err := e.ledger(ctx, runtime)
	if err != nil || !held(&ledger) {
		return err
	}
	if err := e.Runtimes.DeletePackage(ctx, address, key.Version); err != nil {
		return err
	}
	_, err = e.change(ctx, runtime, func(l *Ledger) error {
		if !held(l) {
			return errNothing
		}
		l.remove(key.Version)
		return nil
	})
	if err != nil {
		return err
	}
	return storeError(e.Store.DeleteRecords(ctx, runtime, key))
}

// nameFields are what a line of the log tells about a version.
func nameFields(runtime, version string, err error) []zap.Field {
	return []zap.Field{zap.String("runtime", runtime), zap.String("version", version), zap.Error(err)}
}
