package processdir

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/konstellation-io/kre/kit/proc"
	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

const (
	// chunk is how much of a file is read at a time.
	chunk = 256 << 10
	// unfinished is how long a last line may go without its end before it is taken as it is.
	unfinished = time.Second
	// held is how long a program may keep a line to itself after the time that the line tells.
	held = time.Minute
)

// logFile is the log of a process that is being followed. Its methods are called one at a time.
type logFile struct {
	process logbook.Process
	path    string
	state   string // file
	birth   string

	known   bool   // the position is
	after   uint64 // sequence of its last line that is stored
	stored  int64  // offset after that
	kept    int64  // offset that is kept longer than the line
	punched int64  // offset up to which the disk is freed

	queue []timed // read and not stored
	bytes int     // of the queue

	scanned int64  // offset up to which it was read
	line    []byte // begun and not ended, as much of it as may be stored
	cut     int64  // bytes of it that are not
	order   time.Time
	grown   time.Time // when it last did
	since   time.Time // what has not been read was printed then or later; zero: nobody knows
	more    bool      // there was more to read than was
}

// timed is a record and where it belongs among those of other processes: where no line tells a time, near the one before.
type timed struct {
	logbook.Record
	order time.Time
}

// at begins to read at an offset.
func (f *logFile) at(offset int64) {
	f.stored, f.scanned = offset, offset
	f.queue, f.bytes = nil, 0
	f.line, f.cut = nil, 0
	f.order, f.grown = time.Time{}, time.Now()
}

// position takes up a position that was stored. It may be further on than the file's own, where somebody else has stored.
func (f *logFile) position(p logbook.Position) error {
	f.after = p.Sequence
	if !f.known {
		f.since = f.began(p)
	}
	switch same := p.File == f.birth; {
	case !f.known && same:
		f.at(p.Offset)
		f.kept = p.Offset
	case !f.known:
		begin, err := firstData(f.path)
		if err != nil {
			return err
		}
		f.at(begin)
	case same && p.Offset > f.stored:
		f.skip(p.Offset)
	}
	f.known = true
	return nil
}

// began is when what has not been read can have been printed first: after the line before it or, where that is not known any
// more, since there are logs of the version.
func (f *logFile) began(p logbook.Position) time.Time {
	if p.File == f.birth && !p.Time.IsZero() {
		return p.Time
	}
	var began time.Time
	if info, err := os.Stat(filepath.Join(filepath.Dir(f.path), birthFile)); err == nil {
		began = info.ModTime()
	}
	// Who names the log files may have come after the process.
	if record, err := proc.ReadRecord(f.state); err == nil && !record.Started.IsZero() && record.Started.Before(began) {
		began = record.Started
	}
	return began
}

// skip drops what is in the queue up to an offset.
func (f *logFile) skip(offset int64) {
	for i, record := range f.queue {
		f.bytes -= len(record.Text)
		if record.Offset == offset {
			f.queue, f.stored = f.queue[i+1:], offset
			return
		}
	}
	f.at(offset)
}

// fill reads what the file has got, until the queue is long enough.
func (f *logFile) fill(now time.Time) error {
	f.more = false
	if f.bytes >= chunk || len(f.queue) >= maxBatch {
		return nil
	}
	info, err := os.Stat(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // whoever looks for files next sees that it is gone
	}
	if err != nil {
		return err
	}
	switch size := info.Size(); {
	case size < f.scanned: // somebody has cut it, or put another in its place
		f.at(0)
		return nil
	case size == f.scanned:
		f.since = now
		if f.pending() && now.Sub(f.grown) >= unfinished {
			f.end()
		}
		return nil
	}
	f.grown = now
	if err := f.read(); err != nil {
		return err
	}
	if !f.more {
		f.since = now
	}
	return nil
}

func (f *logFile) read() error {
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // only read
	buf := make([]byte, chunk)
	n, err := file.ReadAt(buf, f.scanned)
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	f.more = n == len(buf)
	content := buf[:n]
	// What a process has left unfinished does not go on with what its next start prints.
	if record, err := proc.ReadRecord(f.state); err == nil {
		if rest := record.LogFrom - f.scanned; rest >= 0 && rest < int64(n) {
			f.scan(content[:rest])
			if f.pending() {
				f.end()
			}
			content = content[rest:]
		}
	}
	f.scan(content)
	return nil
}

func (f *logFile) scan(content []byte) {
	for len(content) > 0 {
		length := bytes.IndexByte(content, '\n')
		if length < 0 {
			f.add(content)
			return
		}
		f.add(content[:length])
		f.scanned++ // the line feed
		f.end()
		content = content[length+1:]
	}
}

func (f *logFile) add(content []byte) {
	f.scanned += int64(len(content))
	room := min(logbook.MaxRecord-len(f.line), len(content))
	f.line = append(f.line, content[:room]...)
	f.cut += int64(len(content) - room)
}

func (f *logFile) pending() bool { return len(f.line) > 0 }

// end puts the line in the queue.
func (f *logFile) end() {
	if long := len(f.line) - logbook.MaxText; long > 0 && !logbook.IsRecord(f.line) {
		f.line, f.cut = slices.Clone(f.line[:logbook.MaxText]), f.cut+int64(long)
	}
	told, undated := logbook.TimeOf(f.line), false
	if !told.IsZero() && told.Before(f.since.Add(-held)) {
		told, undated = time.Time{}, true
	}
	switch {
	case told.After(f.grown):
		f.order = f.grown
	case !told.IsZero():
		f.order = told
	case f.order.IsZero():
		f.order = f.grown
	}
	f.queue = append(f.queue, timed{order: f.order, Record: logbook.Record{
		Process: f.process, Text: f.line, Cut: f.cut, Time: told, Undated: undated, File: f.birth, Offset: f.scanned,
	}})
	f.bytes += len(f.line)
	f.line, f.cut = nil, 0
}

// confirmed says that the first of the queue are stored, the last of them under a sequence.
func (f *logFile) confirmed(count int, last uint64) {
	for _, record := range f.queue[:count] {
		f.bytes -= len(record.Text)
		f.stored = record.Offset
	}
	f.queue = f.queue[count:]
	f.after = last
}

// free gives the disk back that stored lines take whose position is kept, all but the last: those are what people are told
// of a process that fails.
func (f *logFile) free() error {
	end := (f.kept - keepBytes) &^ (punchUnit - 1)
	if end-f.punched < punchBytes {
		return nil
	}
	if err := punch(f.path, end); err != nil {
		return err
	}
	f.punched = end
	return nil
}

const (
	punchBytes = 4 << 20                     // are freed at a time
	punchUnit  = 4 << 10                     // what a file system frees
	keepBytes  = logbook.MaxRecord + 128<<10 // stay
)
