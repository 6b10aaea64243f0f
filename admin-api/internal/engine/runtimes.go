package engine

import (
	"context"
	"strconv"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
)

// observeLimit is how long asking the manager may take within a call.
const observeLimit = 3 * time.Second

// CreateRuntime makes a runtime. AlreadyExists: the name is taken.
func (e *Engine) CreateRuntime(ctx context.Context, name, description, comment string) (Runtime, error) {
	if err := e.checkRuntimeName(name); err != nil {
		return Runtime{}, err
	}
	if err := checkText("runtime.description", description); err != nil {
		return Runtime{}, err
	}
	if err := checkText("comment", comment); err != nil {
		return Runtime{}, err
	}
	ledger := Ledger{Name: name, Description: description, CreateTime: now(), Revision: 1, ChangeRevision: 1, PublishRevision: 1}
	note(ctx, &ledger, ActionCreateRuntime, "", comment, nil)
	err := e.Store.CreateLedger(ctx, ledger)
	if err != nil && fault.KindOf(err) == fault.AlreadyExists {
		if there, readErr := e.ledger(ctx, name); readErr == nil && there.Deleting {
			return Runtime{}, deleting(name)
		}
		return Runtime{}, fault.New(fault.AlreadyExists, "there is a runtime %s already", name).For(ReasonRuntimeExists, "runtime", name)
	}
	if err != nil {
		return Runtime{}, storeError(err)
	}
	e.tellRuntime(ctx, &ledger)
	e.changed(name)
	return showRuntime(&ledger, e.observed.of(name)), nil
}

// GetRuntime reads a runtime and observes it.
func (e *Engine) GetRuntime(ctx context.Context, name string) (Runtime, error) {
	ledger, err := e.ledger(ctx, name)
	if err != nil {
		return Runtime{}, err
	}
	return showRuntime(&ledger, e.observe(ctx, name)), nil
}

// ListRuntimes reads a page of runtimes, by name.
func (e *Engine) ListRuntimes(ctx context.Context, request PageRequest) (RuntimePage, error) {
	size, err := pageSize(request.Size)
	if err != nil {
		return RuntimePage{}, err
	}
	filter, err := parseFilter(request.Filter, map[string]kind{"name": pattern})
	if err != nil {
		return RuntimePage{}, err
	}
	after, err := e.thisPage(request.Token, "runtimes", request.Filter)
	if err != nil {
		return RuntimePage{}, err
	}
	var ledgers []Ledger
	prefix := filter["name"].value
	if name, filtered := filter["name"]; filtered && !name.prefix {
		ledger, err := e.Store.Ledger(ctx, name.value)
		if err == nil {
			ledgers = append(ledgers, ledger)
		} else if fault.KindOf(err) != fault.NotFound {
			return RuntimePage{}, storeError(err)
		}
	} else if ledgers, err = e.Store.Ledgers(ctx, prefix, after, size+1); err != nil {
		return RuntimePage{}, storeError(err)
	}
	var page RuntimePage
	if len(ledgers) > size {
		ledgers = ledgers[:size]
		page.NextToken = e.nextPage(ledgers[size-1].Name, "runtimes", request.Filter)
	}
	for i := range ledgers {
		page.Runtimes = append(page.Runtimes, showRuntime(&ledgers[i], e.observed.of(ledgers[i].Name)))
	}
	return page, nil
}

// UpdateRuntime changes the description. Conflict: revision is not 0 and not the runtime's.
func (e *Engine) UpdateRuntime(ctx context.Context, name, description string, revision int64) (Runtime, error) {
	if err := checkText("runtime.description", description); err != nil {
		return Runtime{}, err
	}
	ledger, err := e.change(ctx, name, func(l *Ledger) error {
		switch {
		case l.Deleting:
			return deleting(name)
		case revision != 0 && revision != l.Revision-1:
			return conflict(l.Revision - 1)
		case l.Description == description:
			return errNothing
		}
		l.Description, l.ChangeRevision = description, l.Revision
		note(ctx, l, ActionUpdateRuntime, "", "", nil)
		return nil
	})
	if err != nil {
		return Runtime{}, err
	}
	return showRuntime(&ledger, e.observed.of(name)), nil
}

// DeleteRuntime begins to remove a runtime with everything in it; confirm is its name once more.
func (e *Engine) DeleteRuntime(ctx context.Context, name, confirm string) error {
	if _, err := e.ledger(ctx, name); err != nil {
		return err
	}
	if confirm != name {
		return invalid("confirm", "it is %q; to delete runtime %s with everything in it, repeat its name", confirm, name)
	}
	_, err := e.change(ctx, name, func(l *Ledger) error {
		if l.Deleting {
			return errNothing
		}
		l.Deleting, l.Published, l.ChangeRevision = true, "", l.Revision
		return nil
	})
	return err // the loop does the rest
}

// ListActivities reads a page of what was done in a runtime, the newest first.
func (e *Engine) ListActivities(ctx context.Context, runtime string, request PageRequest) (ActivityPage, error) {
	size, err := pageSize(request.Size)
	if err != nil {
		return ActivityPage{}, err
	}
	filter, err := parseFilter(request.Filter, map[string]kind{"version": text, "action": text})
	if err != nil {
		return ActivityPage{}, err
	}
	after, err := e.thisPage(request.Token, "activities", runtime, request.Filter)
	if err != nil {
		return ActivityPage{}, err
	}
	query := ActivityQuery{Runtime: runtime, Version: filter["version"].value, Action: Action(filter["action"].value), Limit: size + 1}
	if after != "" {
		if query.Before, err = strconv.ParseInt(after, 10, 64); err != nil {
			return ActivityPage{}, invalid("page_token", "it does not say where the page begins")
		}
	}
	ledger, err := e.ledger(ctx, runtime)
	if err != nil {
		return ActivityPage{}, err
	}
	for _, activity := range ledger.Outbox {
		if err := e.Store.PutActivity(ctx, activity); err != nil {
			return ActivityPage{}, storeError(err)
		}
	}
	page := ActivityPage{}
	if page.Activities, err = e.Store.Activities(ctx, query); err != nil {
		return ActivityPage{}, storeError(err)
	}
	if len(page.Activities) > size {
		page.Activities = page.Activities[:size]
		page.NextToken = e.nextPage(strconv.FormatInt(page.Activities[size-1].Revision, 10), "activities", runtime, request.Filter)
	}
	return page, nil
}

// showRuntime is a runtime as it is shown.
func showRuntime(ledger *Ledger, sight sight) Runtime {
	shown := Runtime{
		Name: ledger.Name, Description: ledger.Description, Revision: ledger.Revision, CreateTime: ledger.CreateTime,
		ObserveTime: sight.ObserveTime, Published: ledger.Published, GRPCAddress: sight.GRPCAddress, HTTPAddress: sight.HTTPAddress,
	}
	switch {
	case ledger.Deleting:
		shown.State = RuntimeDeleting
	case !sight.known:
		shown.State, shown.StateReason = RuntimeUnknown, "it cannot be observed now"
	case !sight.there:
		shown.State = RuntimeCreating
	default:
		shown.State, shown.StateReason = runtimeState(sight.Phase), sight.Reason
	}
	return shown
}

func runtimeState(phase Phase) RuntimeState {
	switch phase {
	case Making:
		return RuntimeCreating
	case Ready:
		return RuntimeReady
	case Failed:
		return RuntimeError
	case Removing:
		return RuntimeDeleting
	default:
		return RuntimeUnknown
	}
}

// observe looks at a runtime now; where that fails, what is known is old.
func (e *Engine) observe(ctx context.Context, runtime string) sight {
	ctx, cancel := context.WithTimeout(ctx, observeLimit)
	defer cancel()
	seen, err := e.Manager.ObserveRuntime(ctx, runtime)
	switch {
	case err == nil:
		return sight{ObservedRuntime: seen, known: true, there: true}
	case fault.KindOf(err) == fault.NotFound:
		return sight{ObservedRuntime: ObservedRuntime{Name: runtime, ObserveTime: now()}, known: true}
	default:
		old := e.observed.of(runtime)
		old.known = false
		return old
	}
}

// address is where the runtime's runtime-api answers.
func (e *Engine) address(ctx context.Context, runtime string) (string, error) {
	seen := e.observed.of(runtime)
	if !seen.known || seen.Phase != Ready || seen.RuntimeAPIAddress == "" {
		seen = e.observe(ctx, runtime)
	}
	switch {
	case !seen.known:
		return "", unavailable("k8s-manager", nil)
	case seen.RuntimeAPIAddress == "":
		return "", unavailable("the service of runtime "+runtime, nil)
	}
	return seen.RuntimeAPIAddress, nil
}
