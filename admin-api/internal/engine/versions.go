package engine

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/konstellation-io/kre/kit/fault"
)

// documentation is where a package holds what it says about itself, and how many bytes of that are shown.
const (
	documentation    = "docs/README.md"
	maxDocumentation = 1 << 20
)

// GetVersion reads a version and observes it.
func (e *Engine) GetVersion(ctx context.Context, runtime, version string) (Version, error) {
	ledger, entry, err := e.find(ctx, runtime, version)
	if err != nil {
		return Version{}, err
	}
	sight := e.observed.of(runtime)
	if entry.WishRevision != 0 {
		sight = e.observe(ctx, runtime)
	}
	return e.show(ctx, &ledger, entry, sight)
}

// ListVersions reads a page of a runtime's versions, the newest first.
func (e *Engine) ListVersions(ctx context.Context, runtime string, request PageRequest) (VersionPage, error) {
	size, err := pageSize(request.Size)
	if err != nil {
		return VersionPage{}, err
	}
	filter, err := parseFilter(request.Filter, map[string]kind{"name": pattern, "running": truth, "published": truth, "digest": text})
	if err != nil {
		return VersionPage{}, err
	}
	after, err := e.thisPage(request.Token, "versions", runtime, request.Filter)
	if err != nil {
		return VersionPage{}, err
	}
	before := int64(0)
	if after != "" {
		if before, err = strconv.ParseInt(after, 10, 64); err != nil {
			return VersionPage{}, invalid("page_token", "it does not say where the page begins")
		}
	}
	ledger, err := e.ledger(ctx, runtime)
	if err != nil {
		return VersionPage{}, err
	}
	var entries []*Entry
	for i := range ledger.Entries {
		entry := &ledger.Entries[i]
		if passes(filter, &ledger, entry) && (before == 0 || entry.CreateRevision < before) {
			entries = append(entries, entry)
		}
	}
	newestFirst(entries)
	var page VersionPage
	if len(entries) > size {
		entries = entries[:size]
		page.NextToken = e.nextPage(strconv.FormatInt(entries[size-1].CreateRevision, 10), "versions", runtime, request.Filter)
	}
	page.Versions, err = e.showAll(ctx, &ledger, entries, e.observed.of(runtime))
	return page, err
}

func newestFirst(entries []*Entry) {
	slices.SortFunc(entries, func(a, b *Entry) int { return cmp.Compare(b.CreateRevision, a.CreateRevision) })
}

func passes(filter filter, ledger *Ledger, entry *Entry) bool {
	for field, condition := range filter {
		var value string
		switch field {
		case "name":
			value = entry.Name
		case "running":
			value = strconv.FormatBool(entry.Running)
		case "published":
			value = strconv.FormatBool(ledger.Published == entry.Name)
		case "digest":
			value = entry.Digest
		}
		if !condition.holds(value) {
			return false
		}
	}
	return true
}

// DeleteVersion removes a version of which nothing runs, with its package, stored messages, configuration and logs.
func (e *Engine) DeleteVersion(ctx context.Context, runtime, version, comment string) error {
	if err := checkText("comment", comment); err != nil {
		return err
	}
	shown, err := e.GetVersion(ctx, runtime, version)
	if err != nil {
		return err
	}
	if shown.State == StateDeleting {
		return nil
	}
	if err := deletable(shown); err != nil {
		return err
	}
	_, err = e.change(ctx, runtime, func(l *Ledger) error {
		entry := l.Entry(version)
		switch {
		case l.Deleting:
			return deleting(runtime)
		case entry == nil:
			return noVersion(runtime, version)
		case entry.Deleting:
			return errNothing
		case entry.Running || entry.Creating():
			return wrongState(version, shown.State, "somebody has changed it just now; stop it first")
		}
		entry.Deleting, entry.Revision = true, l.Revision
		note(ctx, l, ActionDeleteVersion, version, comment, map[string]string{"digest": entry.Digest})
		return nil
	})
	if err == nil {
		e.look(runtime) // the loop does the rest
	}
	return err
}

func deletable(shown Version) error {
	switch {
	case shown.State == StateStopped, shown.State == StateError && !shown.Running:
		return nil
	case shown.State == StateUnknown:
		return unavailable("k8s-manager", nil)
	case shown.State == StateCreating:
		return wrongState(shown.Name, shown.State, "wait until its upload has ended")
	case shown.Published:
		return wrongState(shown.Name, shown.State, "unpublish it, stop it, then delete it")
	default:
		return wrongState(shown.Name, shown.State, "stop it, then delete it")
	}
}

// find reads a runtime's ledger and finds a version in it.
func (e *Engine) find(ctx context.Context, runtime, version string) (Ledger, *Entry, error) {
	ledger, err := e.ledger(ctx, runtime)
	if err != nil {
		return Ledger{}, nil, err
	}
	entry := ledger.Entry(version)
	if entry == nil {
		return Ledger{}, nil, noVersion(runtime, version)
	}
	return ledger, entry, nil
}

// whole is find for a version whose upload has ended.
func (e *Engine) whole(ctx context.Context, runtime, version string) (*Entry, error) {
	_, entry, err := e.find(ctx, runtime, version)
	if err == nil && entry.Creating() {
		err = wrongState(version, StateCreating, "wait until its upload has ended")
	}
	return entry, err
}

// details reads what the manifest of a version says.
func (e *Engine) details(ctx context.Context, runtime string, entry *Entry) (Details, error) {
	found, err := e.known.of(ctx, e.Store, runtime, []Key{entry.Key()})
	if err != nil {
		return Details{}, err
	}
	details, there := found[entry.Key()]
	if !there {
		return Details{}, noVersion(runtime, entry.Name)
	}
	return details, nil
}

// show is a version as it is shown.
func (e *Engine) show(ctx context.Context, ledger *Ledger, entry *Entry, sight sight) (Version, error) {
	shown, err := e.showAll(ctx, ledger, []*Entry{entry}, sight)
	if err != nil {
		return Version{}, err
	}
	return shown[0], nil
}

// showAll is versions of one runtime as they are shown, in their order.
func (e *Engine) showAll(ctx context.Context, ledger *Ledger, entries []*Entry, sight sight) ([]Version, error) {
	var keys []Key
	for _, entry := range entries {
		if !entry.Creating() {
			keys = append(keys, entry.Key())
		}
	}
	details, err := e.known.of(ctx, e.Store, ledger.Name, keys)
	if err != nil {
		return nil, err
	}
	shown := make([]Version, 0, len(entries))
	for _, entry := range entries {
		shown = append(shown, showVersion(ledger, entry, details[entry.Key()], sight))
	}
	return shown, nil
}

func showVersion(ledger *Ledger, entry *Entry, details Details, sight sight) Version {
	shown := Version{
		Runtime: ledger.Name, Name: entry.Name, DisplayName: cmp.Or(details.DisplayName, entry.Name), Description: details.Description,
		Digest: entry.Digest, Size: entry.Size, CreateTime: entry.CreateTime, Creator: entry.Creator, Revision: entry.Revision,
		ObserveTime: sight.ObserveTime, Published: ledger.Published == entry.Name, Running: entry.Running,
		MissingConfig: entry.Missing, Workflows: details.Workflows, Warnings: details.Warnings,
	}
	seen := sight.Version(entry.Name)
	if seen != nil && sight.known {
		shown.StoredMessages, shown.GRPCAddress, shown.HTTPAddress = seen.StoredMessages, seen.GRPCAddress, seen.HTTPAddress
	}
	shown.State, shown.StateReason = stateOf(ledger, entry, sight, seen)
	return shown
}

// GetDocumentation reads what the package says about itself: Markdown.
func (e *Engine) GetDocumentation(ctx context.Context, runtime, version string) (string, error) {
	if _, err := e.whole(ctx, runtime, version); err != nil {
		return "", err
	}
	address, err := e.address(ctx, runtime)
	if err != nil {
		return "", err
	}
	content, err := e.Runtimes.ReadFile(ctx, address, version, documentation, maxDocumentation)
	if err != nil && fault.KindOf(err) == fault.NotFound {
		return "", fault.New(fault.NotFound, "version %s has no documentation: its package holds no %s", version, documentation).
			For(ReasonNoDocumentation, "runtime", runtime, "version", version)
	}
	return string(content), serviceError(err)
}

// serviceError is an error of the runtime's service as the caller may know it; nil stays nil.
func serviceError(err error) error {
	if err != nil && fault.KindOf(err) == fault.Unavailable {
		return unavailable("the runtime's service", err)
	}
	return err
}
