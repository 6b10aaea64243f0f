package worker

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"regexp"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// maxLine is how much of a line is passed on, in bytes.
const maxLine = 256 << 10

// lines passes on what a worker prints to one of its streams, line by line.
type lines struct {
	in   *os.File
	emit func(line []byte)

	line []byte
	cut  int // bytes of the line that are not passed on

	once    sync.Once
	drained chan struct{} // closed when what it had printed until then is passed on
}

func passOn(in *os.File, emit func(line []byte)) *lines {
	l := &lines{in: in, emit: emit, drained: make(chan struct{})}
	go l.run()
	return l
}

// finish passes on what the process, which has ended, had printed, and returns when that is done. What a child of it that
// goes on prints is passed on all the same.
func (l *lines) finish() {
	_ = l.in.SetReadDeadline(time.Unix(1, 0)) // wakes who reads
	<-l.drained
}

func (l *lines) run() {
	defer l.once.Do(func() { close(l.drained) })
	defer l.in.Close() //nolint:errcheck // only read
	defer l.flush()
	buffer := make([]byte, 32<<10)
	for {
		n, err := l.in.Read(buffer)
		l.add(buffer[:n])
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			_ = l.in.SetReadDeadline(time.Time{})
			if !l.drain(buffer) {
				return
			}
			l.flush()
			l.once.Do(func() { close(l.drained) })
		case err != nil || n == 0:
			return
		}
	}
}

// drain adds what is there already. It reports whether more may come.
func (l *lines) drain(buffer []byte) bool {
	raw, err := l.in.SyscallConn()
	if err != nil {
		return false
	}
	open := true
	_ = raw.Read(func(fd uintptr) bool {
		for {
			n, err := unix.Read(int(fd), buffer)
			switch {
			case errors.Is(err, syscall.EINTR):
			case errors.Is(err, syscall.EAGAIN):
				return true
			case err != nil || n <= 0:
				open = false
				return true
			default:
				l.add(buffer[:n])
			}
		}
	})
	return open
}

func (l *lines) add(text []byte) {
	for len(text) > 0 {
		end := bytes.IndexByte(text, '\n')
		part := text
		if end >= 0 {
			part = text[:end]
		}
		room := min(maxLine-len(l.line), len(part))
		l.line = append(l.line, part[:room]...)
		l.cut += len(part) - room
		if end < 0 {
			return
		}
		l.end()
		text = text[end+1:]
	}
}

// flush passes on a line without its end.
func (l *lines) flush() {
	if len(l.line) > 0 {
		l.end()
	}
}

func (l *lines) end() {
	if l.cut > 0 {
		l.line = fmt.Appendf(l.line, "… (%d more bytes)", l.cut)
	}
	l.emit(l.line)
	l.line, l.cut = l.line[:0], 0
	if cap(l.line) > readAhead {
		l.line = nil
	}
}

// crash recognizes the lines in which a process tells how it came to its end: those are errors.
type crash struct{ state crashState }

type crashState int

const (
	noCrash crashState = iota
	inTrace            // the frames of a traceback
	behindTrace
	inFatal // what Python prints when it dies
)

var (
	traceStart = regexp.MustCompile(`^[ |]*(\+ )?(Exception Group )?Traceback \(most recent call last\):$`)
	fatalStart = regexp.MustCompile(`^Fatal Python error: `)
	fatalGoes  = regexp.MustCompile(`^($| |Current thread |Thread |Extension modules|Python runtime state)`)
	chained    = regexp.MustCompile(`^($|During handling of the above exception|The above exception was the direct cause)`)
	indented   = regexp.MustCompile(`^[ \t|]`)
)

// error reports whether the next line is part of such a tale.
func (c *crash) error(line []byte) bool {
	switch {
	case traceStart.Match(line):
		c.state = inTrace
	case fatalStart.Match(line):
		c.state = inFatal
	case c.state == inTrace && indented.Match(line):
	case c.state == inTrace:
		c.state = behindTrace // the exception itself
	case c.state == behindTrace && chained.Match(line):
	case c.state == inFatal && fatalGoes.Match(line):
	default:
		c.state = noCrash
		return false
	}
	return true
}
