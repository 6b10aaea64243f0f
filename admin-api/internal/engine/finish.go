package engine

import (
	"context"

	"github.com/konstellation-io/kre/kit/fault"
)

// finishVersion removes a version that is marked as being removed: what the manager has of it, its package, the entry, and
// at last the records that nobody names any more.
func (e *Engine) finishVersion(ctx context.Context, runtime string, key Key) error {
	if err := e.Manager.DeleteVersion(ctx, runtime, key.Version); err != nil {
		return err
	}
	address, err := e.address(ctx, runtime)
	if err != nil {
		return err
	}
	if err := e.Runtimes.DeletePackage(ctx, address, key.Version); err != nil {
		return err
	}
	_, err = e.change(ctx, runtime, func(l *Ledger) error {
		entry := l.Entry(key.Version)
		if entry == nil || entry.Key() != key || !entry.Deleting {
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

// finishRuntime removes a runtime that is marked as being removed: what the manager has of it, and when that is gone all
// that is stored.
func (e *Engine) finishRuntime(ctx context.Context, ledger *Ledger, sight sight) error {
	if sight.there {
		if sight.Phase == Removing {
			return nil // its end is told by the watch
		}
		return e.Manager.DeleteRuntime(ctx, ledger.Name)
	}
	// The cache may be older than a runtime that was told a moment ago.
	if _, err := e.Manager.ObserveRuntime(ctx, ledger.Name); err == nil {
		return e.Manager.DeleteRuntime(ctx, ledger.Name)
	} else if fault.KindOf(err) != fault.NotFound {
		return err
	}
	if err := e.Store.Purge(ctx, ledger.Name); err != nil {
		return err
	}
	return e.Store.DeleteLedger(ctx, ledger.Name, ledger.Revision)
}
