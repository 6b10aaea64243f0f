// Package logbook is what the processes of a runtime's versions have logged: which line answers a search, what a line says,
// and how pages follow each other. It knows neither where lines come from nor where they are kept.
package logbook

import (
	"context"
	"errors"
	"regexp"
	"time"

	"github.com/konstellation-io/kre/kit/fault"
)

// Process is who logs.
type Process struct {
	Version  string // mapped name
	Name     string // of the process, e.g. estimate.model-0; what its log file is called after
	Workflow string // as the manifest writes it; empty for the entrypoint
	Node     string // as the manifest writes it, or entrypoint
	Replica  int    // from 0
}

// Line is a line as it is stored.
type Line struct {
	Process
	Sequence uint64    // in the order of storing, from 1, over all versions
	Stored   time.Time // when it was read and stored
	Text     []byte    // as the process wrote it, without its end
	Cut      int64     // bytes that were cut off its end
	Undated  bool      // the time that it tells is not believed
}

// Record is a line that is to be stored.
type Record struct {
	Process
	Text   []byte
	Cut    int64
	Time   time.Time // that the line tells; zero: it tells none, or one that is not believed
	File   string    // names the file that it was read from for good; see Position
	Offset int64     // in the file, after the line
	After  uint64    // sequence of the process's last stored line; looked at in the first record of each process

	Undated bool // the line tells a time that is not believed
}

// Position is how far what a process logs has been stored.
type Position struct {
	Sequence uint64 // of its last line that is still stored; 0: there is none
	File     string // that the position is in; empty: nothing is known
	Offset   int64
	Time     time.Time // of that line; zero: there is none
}

// Positions are offsets in the log files of a version, by the names of its processes.
type Positions struct {
	File      string           `json:"file"`
	Processes map[string]int64 `json:"processes"`
}

// ErrMoved is the error of Keeper.Append when a process has other lines than the caller believes.
var ErrMoved = errors.New("other lines have been stored, or those that were have been dropped")

// Keeper is where lines are stored, as who reads them from files sees it. Errors are of kind fault.Unavailable while it
// does not answer.
type Keeper interface {
	// Last is the position of a process after its last stored line or, where that has been dropped, the one that was kept.
	Last(ctx context.Context, version, process string) (Position, error)
	// Append stores all records, in their order and with nothing in between, or none. It returns the sequence of the last.
	// ErrMoved: the first record of a process does not follow the line that it should. Any other error: perhaps all have
	// been stored; ask Last. At most 1,000 records.
	Append(ctx context.Context, records []Record) (uint64, error)
	// KeepPositions keeps positions longer than the lines.
	KeepPositions(ctx context.Context, version string, positions Positions) error
}

// Store is where lines are stored, as who looks for them sees it. Errors are of kind fault.Unavailable while it does not
// answer.
type Store interface {
	// Span bounds the sequences of lines that say a time from start on (zero: any) and before end (zero: any): from first on
	// and before next. There may be others among them.
	Span(ctx context.Context, version string, start, end time.Time) (first, next uint64, err error)
	// Read calls each with the version's lines from one sequence on and before another, oldest first, until it returns false.
	Read(ctx context.Context, version string, from, before uint64, each func(Line) bool) error
	// Follow calls each with the version's lines from a sequence on, those to come included, until ctx ends or each fails.
	Follow(ctx context.Context, version string, from uint64, each func(Line) error) error
	// Purge removes the version's lines and positions. A version that has none is no error.
	Purge(ctx context.Context, version string) error
}

// Source is where lines come from.
type Source interface {
	// Release ends the storing of what a version logs, for as long as it exists. What has been read is stored when it
	// returns, or never will be.
	Release(ctx context.Context, version string) error
}

// Service answers searches.
type Service struct {
	store  Store
	source Source
}

// NewService returns a service on top of a store that is filled from a source.
func NewService(store Store, source Source) *Service { return &Service{store: store, source: source} }

// Forget removes what a version has logged, and stores nothing more of it. A version that has logged nothing is no error.
func (s *Service) Forget(ctx context.Context, version string) error {
	if err := checkVersion(version); err != nil {
		return err
	}
	if err := s.source.Release(ctx, version); err != nil {
		return err
	}
	return s.store.Purge(ctx, version)
}

var versionName = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)

func checkVersion(version string) error {
	if versionName.MatchString(version) {
		return nil
	}
	return invalid("filter.version", "want the name of a version, mapped: "+versionName.String())
}

func invalid(field, message string) error {
	err := fault.New(fault.Invalid, "%s: %s", field, message)
	err.Fields = []fault.Field{{Path: field, Message: message}}
	return err
}
