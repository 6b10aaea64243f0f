package engine

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/fault"
)

// Limits of the loop's calls.
const (
	tellLimit  = 5 * time.Second  // telling the manager one thing, within a caller's call
	matchLimit = 30 * time.Second // all that one runtime needs
	batch      = 100              // runtimes that are read at once
)

// Run watches the manager and has the loop going until ctx ends.
func (e *Engine) Run(ctx context.Context) error {
	var running sync.WaitGroup
	running.Go(func() { e.watchManager(ctx) })
	e.loop(ctx)
	running.Wait()
	return nil
}

// Ready reports whether the world is observed.
func (e *Engine) Ready() bool { return e.observed.ready() }

// loop compares what is asked for with what is, of a runtime when something has happened there, and of all now and then.
func (e *Engine) loop(ctx context.Context) {
	all := time.NewTimer(0)
	defer all.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case runtime := <-e.wake:
			e.match(ctx, e.together(runtime))
		case <-all.C:
			e.matchAll(ctx)
			all.Reset(e.opts.Assert)
		}
	}
}

// together takes what else is waiting, each runtime once.
func (e *Engine) together(first string) map[string]bool {
	names := map[string]bool{first: true}
	for {
		select {
		case name := <-e.wake:
			names[name] = true
		default:
			return names
		}
	}
}

func (e *Engine) match(ctx context.Context, names map[string]bool) {
	for name := range names {
		ledger, err := e.Store.Ledger(ctx, name)
		if err == nil {
			e.matchOne(ctx, &ledger)
		}
	}
}

func (e *Engine) matchAll(ctx context.Context) {
	after := ""
	for ctx.Err() == nil {
		ledgers, err := e.Store.Ledgers(ctx, "", after, batch)
		if err != nil {
			e.log.Warn("what is asked for cannot be read", zap.Error(err))
			return
		}
		for i := range ledgers {
			e.matchOne(ctx, &ledgers[i])
		}
		if len(ledgers) < batch {
			return
		}
		after = ledgers[len(ledgers)-1].Name
	}
}

// matchOne brings one runtime nearer to what is asked for. What fails is tried again by the next round.
func (e *Engine) matchOne(ctx context.Context, ledger *Ledger) {
	ctx, cancel := context.WithTimeout(ctx, matchLimit)
	defer cancel()
	sight := e.observed.of(ledger.Name)
	if len(ledger.Outbox) > 0 {
		e.report(ledger.Name, "activities", e.flush(ctx, ledger))
	}
	if !sight.known {
		return
	}
	if ledger.Deleting {
		e.report(ledger.Name, "deletion", e.finishRuntime(ctx, ledger, sight))
		return
	}
	if !sight.there || sight.Revision < ledger.PublishRevision {
		e.tellRuntime(ctx, ledger)
	}
	for i := range ledger.Entries {
		entry := &ledger.Entries[i]
		switch {
		case entry.Deleting:
			e.report(ledger.Name, "deletion of a version", e.finishVersion(ctx, ledger.Name, entry.Key()))
		case entry.Creating():
			if entry.Lease.Before(now()) && sight.RuntimeAPIAddress != "" {
				e.report(ledger.Name, "end of an upload", e.abandon(ctx, ledger.Name, sight.RuntimeAPIAddress, entry.Key()))
			}
		case behind(entry, sight.Version(entry.Name)):
			e.tell(ctx, ledger, entry, sight)
		}
	}
}

// behind tells whether the manager has not heard of what is asked of a version.
func behind(entry *Entry, seen *ObservedVersion) bool {
	if entry.WishRevision == 0 {
		return false
	}
	if seen == nil {
		return entry.Running
	}
	return seen.Revision < entry.WishRevision
}

// report logs what a round of the loop could not do.
func (e *Engine) report(runtime, what string, err error) {
	if err != nil && fault.KindOf(err) != fault.NotFound {
		e.log.Warn("not done yet", zap.String("runtime", runtime), zap.String("what", what), zap.Error(err))
	}
}

// tellRuntime tells the manager what is asked of a runtime. What it does not hear now it hears from the loop.
func (e *Engine) tellRuntime(ctx context.Context, ledger *Ledger) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	err := e.Manager.ApplyRuntime(ctx, RuntimeWish{Runtime: ledger.Name, Revision: ledger.PublishRevision, Published: ledger.Published})
	e.untold(ledger.Name, "", err)
}

// tell tells the manager what is asked of a version, and which one is published if it has not heard of that.
func (e *Engine) tell(ctx context.Context, ledger *Ledger, entry *Entry, sight sight) {
	ctx, cancel := context.WithTimeout(ctx, tellLimit)
	defer cancel()
	if entry.WishRevision != 0 && behind(entry, sight.Version(entry.Name)) {
		wish := VersionWish{
			Runtime: ledger.Name, Version: entry.Name, Revision: entry.WishRevision, Digest: entry.Digest,
			Running: entry.Running, Discard: entry.Discard,
		}
		var err error
		if entry.Running {
			wish.Variables, wish.Files, err = e.open(ctx, ledger.Name, entry)
		}
		if err == nil {
			err = e.Manager.ApplyVersion(ctx, wish)
		}
		e.untold(ledger.Name, entry.Name, err)
	}
	if sight.Revision < ledger.PublishRevision {
		e.tellRuntime(ctx, ledger)
	}
}

// untold logs that the manager did not hear something. That it has heard of something newer is as well.
func (e *Engine) untold(runtime, version string, err error) {
	if err != nil && fault.KindOf(err) != fault.Conflict {
		e.log.Warn("the manager could not be told; it is told again", nameFields(runtime, version, err)...)
	}
}

// flush moves the outbox to the list of activities.
func (e *Engine) flush(ctx context.Context, ledger *Ledger) error {
	for _, activity := range ledger.Outbox {
		if err := e.Store.PutActivity(ctx, activity); err != nil {
			return err
		}
	}
	after := ledger.Clone()
	after.Outbox = nil
	after.Revision++
	err := e.Store.ReplaceLedger(ctx, after, ledger.Revision)
	if err == nil {
		*ledger = after
	}
	if err != nil && fault.KindOf(err) == fault.Conflict {
		return nil // somebody else was quicker; the next round moves what is left
	}
	return err
}
