package up

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
)

const (
	// rotateAbove is how large a log may become, in bytes.
	rotateAbove = 16 << 20
	// keptLogs is how many that were put aside are kept: NAME.1 is the newest.
	keptLogs = 4
)

// logFile is a log that is appended to. Before it becomes too large it is put aside, and another one is begun.
type logFile struct {
	name string

	mu   sync.Mutex
	file *os.File
	size int64
}

// openLog opens a log to append to it; a large one is put aside.
func openLog(name string) (*logFile, error) {
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		return nil, fmt.Errorf("cannot make the folder for logs: %w", err)
	}
	l := &logFile{name: name}
	if err := l.open(); err != nil {
		return nil, err
	}
	if l.size > rotateAbove {
		if err := l.rotate(); err != nil {
			return nil, errors.Join(err, l.file.Close())
		}
	}
	return l, nil
}

func (l *logFile) open() error {
	file, err := os.OpenFile(l.name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fmt.Errorf("cannot open a log: %w", err)
	}
	info, err := file.Stat()
	if err != nil {
		return errors.Join(fmt.Errorf("cannot look at a log: %w", err), file.Close())
	}
	l.file, l.size = file, info.Size()
	return nil
}

// rotate puts the log aside and begins another one. Where that cannot be done, it goes on with the one it has, emptied: a disk
// is not filled for want of a name.
func (l *logFile) rotate() error {
	for i := keptLogs - 1; i >= 1; i-- {
		if err := os.Rename(l.aside(i), l.aside(i+1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return l.empty(err)
		}
	}
	if err := os.Rename(l.name, l.aside(1)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return l.empty(err)
	}
	before := l.file
	if err := l.open(); err != nil {
		return l.empty(err)
	}
	return before.Close()
}

func (l *logFile) empty(cause error) error {
	if err := l.file.Truncate(0); err != nil {
		return errors.Join(fmt.Errorf("cannot put a log aside: %w", cause), err)
	}
	l.size = 0
	return nil
}

// aside is the name of a log that was put aside as the nth last.
func (l *logFile) aside(n int) string { return fmt.Sprintf("%s.%d", l.name, n) }

// Write appends a line, or some.
func (l *logFile) Write(lines []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.size > 0 && l.size+int64(len(lines)) > rotateAbove {
		if err := l.rotate(); err != nil {
			return 0, err
		}
	}
	n, err := l.file.Write(lines)
	l.size += int64(n)
	return n, err
}

// WriteString is Write of a text.
func (l *logFile) WriteString(lines string) (int, error) { return l.Write([]byte(lines)) }

// Close ends it.
func (l *logFile) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.file.Close()
}
