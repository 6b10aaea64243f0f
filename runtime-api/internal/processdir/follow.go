package processdir

import (
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

const (
	lookEvery   = 200 * time.Millisecond // at files
	searchEvery = time.Second            // for files
	keepEvery   = 5 * time.Second        // positions, longer than lines
	retryAfter  = 500 * time.Millisecond
	maxBatch    = 1_000   // lines that are stored at once
	batchBytes  = 4 << 20 // of them
	endWithin   = time.Second
)

// Follower stores what the processes log. What was stored once is never stored again, whoever is killed when: a line
// carries where in its file it ends, and is only stored after the one before.
type Follower struct {
	dir    *Dir
	keeper logbook.Keeper
	log    *zap.Logger
	turn   chan struct{} // holds one token; whoever has it uses what follows

	versions map[string]*followed
	released map[string]string // births of versions that are not followed any more
	searched time.Time         // for files
	troubled bool
}

// followed is a version whose logs are stored.
type followed struct {
	birth string
	files map[string]*logFile // by process
	kept  time.Time           // the positions were
}

var _ logbook.Source = (*Follower)(nil)

// NewFollower returns a follower of a directory that has lines kept.
func NewFollower(dir *Dir, keeper logbook.Keeper, logger *zap.Logger) *Follower {
	return &Follower{
		dir: dir, keeper: keeper, log: logger, turn: make(chan struct{}, 1),
		versions: make(map[string]*followed), released: make(map[string]string),
	}
}

// Run stores until ctx ends. What is in the way is logged, and tried again.
func (f *Follower) Run(ctx context.Context) {
	for ctx.Err() == nil {
		pause, err := f.round(ctx)
		if err != nil && ctx.Err() == nil {
			pause = retryAfter
			if !f.troubled {
				f.log.Warn("logs are not stored now; trying again", log.Error(err))
			}
			f.troubled = true
		} else if err == nil && f.troubled {
			f.log.Info("logs are stored again")
			f.troubled = false
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
	f.leave(context.WithoutCancel(ctx))
}

// leave keeps the positions for the next follower, if that can be done at once.
func (f *Follower) leave(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, endWithin)
	defer cancel()
	for name, version := range f.versions {
		if err := f.keep(ctx, name, version); err != nil {
			return // the lines themselves tell
		}
	}
}

// Release implements logbook.Source.
func (f *Follower) Release(ctx context.Context, version string) error {
	if err := f.take(ctx); err != nil {
		return err
	}
	defer f.giveBack()
	birth, err := f.dir.birth(version)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err == nil {
		f.released[version] = birth
	}
	delete(f.versions, version)
	return nil
}

func (f *Follower) take(ctx context.Context) error {
	select {
	case f.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *Follower) giveBack() { <-f.turn }

// round reads and stores once, and tells how long to wait until the next.
func (f *Follower) round(ctx context.Context) (time.Duration, error) {
	if err := f.take(ctx); err != nil {
		return 0, err
	}
	defer f.giveBack()
	now := time.Now()
	if now.Sub(f.searched) >= searchEvery {
		if err := f.search(); err != nil {
			return 0, err
		}
		f.searched = now
	}
	var files []*logFile
	more := false
	var failed error
	for _, version := range f.versions {
		for _, file := range version.files {
			if err := f.fill(ctx, file, now); err != nil {
				failed = errors.Join(failed, err)
				continue
			}
			files = append(files, file)
			more = more || file.more
		}
	}
	stored, err := f.store(ctx, files)
	if err != nil {
		return 0, errors.Join(failed, err)
	}
	for name, version := range f.versions {
		if err := f.keepSometimes(ctx, name, version, now); err != nil {
			failed = errors.Join(failed, err)
		}
	}
	if more || stored == maxBatch {
		return 0, failed
	}
	return lookEvery, failed
}

// search looks which versions and files there are.
func (f *Follower) search() error {
	names, err := f.dir.versions()
	if err != nil {
		return err
	}
	present := make(map[string]bool, len(names))
	for _, name := range names {
		present[name] = true
		if err := f.searchVersion(name); err != nil {
			return err
		}
	}
	for name := range f.versions {
		if !present[name] {
			delete(f.versions, name)
		}
	}
	for name := range f.released {
		if !present[name] {
			delete(f.released, name)
		}
	}
	return nil
}

func (f *Follower) searchVersion(name string) error {
	logs, err := f.dir.logs(name)
	if err != nil || len(logs) == 0 {
		return err
	}
	birth, err := f.dir.birth(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it has gone meanwhile
	}
	if err != nil {
		return err
	}
	if released, ok := f.released[name]; ok {
		if released == birth {
			return nil
		}
		delete(f.released, name)
	}
	version := f.versions[name]
	if version == nil || version.birth != birth {
		version = &followed{birth: birth, files: make(map[string]*logFile), kept: time.Now()}
		f.versions[name] = version
	}
	processes, err := f.dir.processes(name)
	if err != nil {
		return err
	}
	known := make(map[string]logbook.Process, len(processes))
	for _, process := range processes {
		known[process.Name] = process
	}
	for _, log := range logs {
		process, ok := known[log]
		file := version.files[log]
		if file == nil {
			file = &logFile{
				process: unplanned(name, log), path: f.dir.path(name, logsDir, log+logSuffix),
				state: f.dir.path(name, stateDir, log+stateSuffix), birth: birth,
			}
			version.files[log] = file
		}
		if ok {
			file.process = process
		}
	}
	return nil
}

// fill reads what a file has got. Before that, it finds out how far the file is stored, where that is not known.
func (f *Follower) fill(ctx context.Context, file *logFile, now time.Time) error {
	if !file.known {
		position, err := f.keeper.Last(ctx, file.process.Version, file.process.Name)
		if err != nil {
			return err
		}
		if err := file.position(position); err != nil {
			return err
		}
	}
	return file.fill(now)
}

// store stores what is in the queues, as much as is stored at once, and returns how many lines that were.
func (f *Follower) store(ctx context.Context, files []*logFile) (int, error) {
	batch, owners := merge(files)
	if len(batch) == 0 {
		return 0, nil
	}
	// Broken off by the end of the process, it could be stored without its position being kept.
	ctx, cancel := outlasting(ctx, endWithin)
	defer cancel()
	last, err := f.keeper.Append(ctx, batch)
	if err != nil {
		// Perhaps they are stored, perhaps others are: look again.
		for file := range owners {
			position, lookErr := f.keeper.Last(ctx, file.process.Version, file.process.Name)
			if lookErr == nil {
				lookErr = file.position(position)
			}
			if lookErr != nil {
				return 0, errors.Join(err, lookErr)
			}
		}
		if errors.Is(err, logbook.ErrMoved) {
			return len(batch), nil
		}
		return 0, err
	}
	first := last - uint64(len(batch)) + 1
	for file, owned := range owners {
		file.confirmed(owned.count, first+uint64(owned.last))
	}
	return len(batch), nil
}

// owned is what a file has in a batch.
type owned struct {
	count int
	last  int // index of its last record
}

// outlasting is a context that ends a while after ctx does.
func outlasting(ctx context.Context, while time.Duration) (context.Context, context.CancelFunc) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(while, cancel) })
	return longer, func() {
		stop()
		cancel()
	}
}

// merge takes the next records of all files, the oldest first; those of one file stay in their order. Nothing is removed.
func merge(files []*logFile) ([]logbook.Record, map[*logFile]owned) {
	var batch []logbook.Record
	owners := make(map[*logFile]owned)
	files = slices.DeleteFunc(files, func(file *logFile) bool { return len(file.queue) == 0 })
	for size := 0; len(batch) < maxBatch && size < batchBytes; {
		var next *logFile
		for _, file := range files {
			at := owners[file].count
			if at < len(file.queue) && (next == nil || file.queue[at].order.Before(next.queue[owners[next].count].order)) {
				next = file
			}
		}
		if next == nil {
			break
		}
		own := owners[next]
		record := next.queue[own.count].Record
		record.After = next.after
		owners[next] = owned{count: own.count + 1, last: len(batch)}
		batch = append(batch, record)
		size += len(record.Text)
	}
	return batch, owners
}

// keepSometimes keeps the positions of a version, now and then and before disk is freed.
func (f *Follower) keepSometimes(ctx context.Context, name string, version *followed, now time.Time) error {
	due := now.Sub(version.kept) >= keepEvery
	for _, file := range version.files {
		due = due || file.stored-file.kept >= punchBytes
	}
	if !due {
		return nil
	}
	if err := f.keep(ctx, name, version); err != nil {
		return err
	}
	version.kept = now
	for _, file := range version.files {
		if err := file.free(); err != nil {
			return err
		}
	}
	return nil
}

// keep keeps the positions of a version, unless they are.
func (f *Follower) keep(ctx context.Context, name string, version *followed) error {
	positions := logbook.Positions{File: version.birth, Processes: make(map[string]int64)}
	changed := false
	for process, file := range version.files {
		if !file.known {
			return nil // another time: what was kept of it must not be lost
		}
		positions.Processes[process] = file.stored
		changed = changed || file.stored != file.kept
	}
	if !changed {
		return nil
	}
	if err := f.keeper.KeepPositions(ctx, name, positions); err != nil {
		return err
	}
	for _, file := range version.files {
		file.kept = file.stored
	}
	return nil
}

// unplanned is a process that no plan tells of any more.
func unplanned(version, name string) logbook.Process {
	process := logbook.Process{Version: version, Name: name, Node: name}
	if isEntrypoint(name) {
		process.Node = entrypointNode
	}
	return process
}
