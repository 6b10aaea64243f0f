package proc

import (
	"bytes"
	"errors"
	"io"
	"os"
	"slices"
	"time"
)

// quiet is how long an unfinished line waits for its end before it is told as it is.
const quiet = 200 * time.Millisecond

// readLines reads r to its end and hands on each line. A line that goes on past limit is cut; one that has no end is
// handed on after a moment, so that a prompt or a progress bar shows. Where r knows no deadlines, only at r's end.
func readLines(r io.Reader, limit int, emit func(text string, cut int)) {
	deadline, _ := r.(interface{ SetReadDeadline(time.Time) error })
	s := splitter{limit: limit, emit: emit}
	buf := make([]byte, 32<<10)
	for {
		if deadline != nil {
			var at time.Time
			if s.pending() {
				at = time.Now().Add(quiet)
			}
			if deadline.SetReadDeadline(at) != nil {
				deadline = nil
			}
		}
		n, err := r.Read(buf)
		s.write(buf[:n])
		if err == nil {
			continue
		}
		s.flush()
		if !errors.Is(err, os.ErrDeadlineExceeded) {
			return
		}
	}
}

// splitter cuts a stream of bytes into lines of at most limit bytes.
type splitter struct {
	limit int
	emit  func(text string, cut int)
	line  []byte
	cut   int
}

func (s *splitter) pending() bool { return len(s.line) > 0 || s.cut > 0 }

func (s *splitter) write(data []byte) {
	for len(data) > 0 {
		end := bytes.IndexByte(data, '\n')
		if end < 0 {
			s.add(data)
			return
		}
		s.add(data[:end])
		s.end()
		data = data[end+1:]
	}
}

func (s *splitter) add(data []byte) {
	// A carriage return begins the line anew, as it does on a terminal.
	if at := bytes.LastIndexByte(data[:max(0, len(data)-1)], '\r'); at >= 0 {
		s.line, s.cut = s.line[:0], 0
		data = data[at+1:]
	} else if n := len(s.line); n > 0 && s.line[n-1] == '\r' && len(data) > 0 {
		s.line, s.cut = s.line[:0], 0
	}
	room := s.limit - len(s.line)
	if room > len(data) {
		room = len(data)
	}
	s.line = append(s.line, data[:room]...)
	s.cut += len(data) - room
}

func (s *splitter) end() {
	s.emit(string(bytes.TrimSuffix(s.line, []byte{'\r'})), s.cut)
	s.line, s.cut = s.line[:0], 0
	if cap(s.line) > keptCapacity {
		s.line = nil
	}
}

// keptCapacity is how much memory waits for the next line.
const keptCapacity = 64 << 10

func (s *splitter) flush() {
	if s.pending() {
		s.end()
	}
}

// tail keeps the last lines of a process.
type tail struct {
	count int // of lines, at most
	lines []string
	bytes int
}

// tailRoom is how long the lines may be together; one always has room.
const tailRoom = DefaultMaxLine

func newTail(count int) *tail { return &tail{count: count} }

func (t *tail) add(line string) {
	t.lines = append(t.lines, line)
	t.bytes += len(line)
	for len(t.lines) > t.count || len(t.lines) > 1 && t.bytes > tailRoom {
		t.bytes -= len(t.lines[0])
		t.lines[0] = ""
		t.lines = t.lines[1:]
	}
}

func (t *tail) all() []string { return slices.Clone(t.lines) }
