package engine

import "context"

// Transition names a version that is to change, and says why.
type Transition struct {
	Runtime  string
	Version  string
	Comment  string
	Revision int64 // the version's; 0: whatever it is
}

// StartVersion makes a version run. Precondition: configuration values are missing, or its state forbids it.
func (e *Engine) StartVersion(ctx context.Context, t Transition) (Version, error) {
	return e.transit(ctx, t, ActionStartVersion, func(l *Ledger, entry *Entry, _ State) error {
		switch {
		case entry.Running:
			return errNothing
		case len(entry.Missing) > 0:
			return missing(t.Version, entry.Missing)
		}
		entry.Running, entry.Discard = true, false
		l.wish(entry)
		return nil
	})
}

// StopVersion makes a version end, in order. With discard, what is still stored then is dropped. Precondition: it is
// published.
func (e *Engine) StopVersion(ctx context.Context, t Transition, discard bool) (Version, error) {
	return e.transit(ctx, t, ActionStopVersion, func(l *Ledger, entry *Entry, state State) error {
		switch {
		case l.Published == t.Version:
			return wrongState(t.Version, state, "unpublish it before it is stopped, or publish another version over it")
		case entry.WishRevision == 0:
			return errNothing
		case !entry.Running && (!discard || entry.Discard):
			return errNothing
		}
		entry.Running, entry.Discard = false, discard
		l.wish(entry)
		return nil
	})
}

// PublishVersion makes the runtime's stable address lead to a version, in place of the one before. Precondition: it is
// not STARTED.
func (e *Engine) PublishVersion(ctx context.Context, t Transition) (Version, error) {
	return e.transit(ctx, t, ActionPublishVersion, func(l *Ledger, entry *Entry, state State) error {
		switch {
		case l.Published == t.Version:
			return errNothing
		case !entry.Running && len(entry.Missing) > 0:
			return wrongState(t.Version, state, "configure it, start it, and publish it when it is STARTED")
		case !entry.Running:
			return wrongState(t.Version, state, "start it, and publish it when it is STARTED")
		case state != StateStarted && state != StatePublished:
			return wrongState(t.Version, state, "only a version that is STARTED can be published; wait until it is, or mend what keeps it from it")
		}
		if before := l.Entry(l.Published); before != nil {
			before.Revision = l.Revision
		}
		l.publish(t.Version)
		entry.Revision = l.Revision
		return nil
	})
}

// UnpublishVersion makes the runtime's stable address lead nowhere, if it leads to this version. The version runs on.
func (e *Engine) UnpublishVersion(ctx context.Context, t Transition) (Version, error) {
	return e.transit(ctx, t, ActionUnpublishVersion, func(l *Ledger, entry *Entry, _ State) error {
		if l.Published != t.Version {
			return errNothing
		}
		l.publish("")
		entry.Revision = l.Revision
		return nil
	})
}

// publish changes where the stable address leads.
func (l *Ledger) publish(version string) {
	l.Published, l.PublishRevision, l.ChangeRevision = version, l.Revision, l.Revision
}

// transit carries a transition out: it observes, decides, writes what is asked for, and tells the manager. What is observed
// can only forbid; two that contradict each other meet in the one document that both have to replace.
func (e *Engine) transit(ctx context.Context, t Transition, action Action, decide func(*Ledger, *Entry, State) error) (Version, error) {
	if err := checkText("comment", t.Comment); err != nil {
		return Version{}, err
	}
	if _, err := e.whole(ctx, t.Runtime, t.Version); err != nil {
		return Version{}, err
	}
	sight := e.observe(ctx, t.Runtime)
	ledger, err := e.change(ctx, t.Runtime, func(l *Ledger) error {
		entry := l.Entry(t.Version)
		switch {
		case l.Deleting:
			return deleting(t.Runtime)
		case entry == nil:
			return noVersion(t.Runtime, t.Version)
		case entry.Creating():
			return wrongState(t.Version, StateCreating, "wait until its upload has ended")
		case entry.Deleting:
			return wrongState(t.Version, StateDeleting, "it is being removed; create it anew when it is gone")
		case t.Revision != 0 && t.Revision != entry.Revision:
			return conflict(entry.Revision)
		case !sight.known:
			return unavailable("k8s-manager", nil)
		}
		state, _ := stateOf(l, entry, sight, sight.Version(entry.Name))
		if err := decide(l, entry, state); err != nil {
			return err
		}
		note(ctx, l, action, t.Version, t.Comment, nil)
		return nil
	})
	if err != nil {
		return Version{}, err
	}
	entry := ledger.Entry(t.Version)
	if entry == nil {
		return Version{}, noVersion(t.Runtime, t.Version)
	}
	e.tell(ctx, &ledger, entry, sight)
	return e.show(ctx, &ledger, entry, sight)
}
