package engine

import "context"

// Store keeps ledgers, the records beside them, and activities. Package enginetest holds the suite that every store passes.
//
// Times are kept to the millisecond at least. A store that does not answer is fault.Unavailable. What is given to a store or
// comes from it shares nothing with what it keeps.
type Store interface {
	Ledgers
	Records
	Purger
	Journal
}

// Ledgers keeps one document per runtime.
type Ledgers interface {
	// CreateLedger stores the ledger of a new runtime. fault.AlreadyExists: there is one of that name.
	CreateLedger(ctx context.Context, ledger Ledger) error
	// Ledger reads the ledger of a runtime, as it was written last. fault.NotFound: there is none.
	Ledger(ctx context.Context, runtime string) (Ledger, error)
	// Ledgers reads at most limit of the ledgers whose names begin with prefix and come behind after, by name (in the order
	// of bytes).
	Ledgers(ctx context.Context, prefix, after string, limit int) ([]Ledger, error)
	// ReplaceLedger stores the ledger in place of the one whose revision is was; ledger.Revision is another. fault.Conflict:
	// the stored one has another revision; fault.NotFound: there is none. Of any number of replacements of the same
	// revision, one succeeds.
	ReplaceLedger(ctx context.Context, ledger Ledger, was int64) error
	// DeleteLedger removes the ledger whose revision is was. The errors are those of ReplaceLedger.
	DeleteLedger(ctx context.Context, runtime string, was int64) error
}

// Records keeps what is written once.
type Records interface {
	// PutDetails stores the details of a version. The same again succeeds.
	PutDetails(ctx context.Context, details Details) error
	// Details reads details of versions of one runtime, in any order. Those that are not there are left out.
	Details(ctx context.Context, runtime string, keys []Key) ([]Details, error)
	// PutConfig stores a configuration. The same again succeeds.
	PutConfig(ctx context.Context, config Config) error
	// Config reads the configuration of that id. fault.NotFound: it is not there.
	Config(ctx context.Context, runtime string, key Key, id string) (Config, error)
	// PruneConfigs removes the configurations of a version whose Revision is at most through, but not the one of id keep.
	PruneConfigs(ctx context.Context, runtime string, key Key, through int64, keep string) error
}

// Purger removes what nobody names any more.
type Purger interface {
	// DeleteRecords removes the details and configurations of one version. Removing what is not there succeeds.
	DeleteRecords(ctx context.Context, runtime string, key Key) error
	// Purge removes everything of a runtime except its ledger: details, configurations, activities. Removing what is not
	// there succeeds.
	Purge(ctx context.Context, runtime string) error
}

// Journal keeps activities.
type Journal interface {
	// PutActivity stores an activity. One of the same runtime and revision is there already: that succeeds, too, and
	// changes nothing.
	PutActivity(ctx context.Context, activity Activity) error
	// Activities reads at most limit of a runtime's activities whose revision is below before (0: all), the newest first.
	// Version and action, unless empty, say which.
	Activities(ctx context.Context, query ActivityQuery) ([]Activity, error)
}

// ActivityQuery says which activities.
type ActivityQuery struct {
	Runtime string
	Version string // empty: of all and of none
	Action  Action // empty: all
	Before  int64  // 0: from the newest on
	Limit   int
}
