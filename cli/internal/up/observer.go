package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/kit/proc"
)

// maxLog is how much of one service's log is kept before it is put aside once, bytes.
const maxLog = 32 << 20

// observer shows what becomes of the services, and keeps what they log.
type observer struct {
	screen  *screen.Screen
	verbose bool
	dir     string // of the logs

	mu     sync.Mutex
	hushed bool
	files  map[string]*logFile
}

type logFile struct {
	file *os.File
	size int64
}

func newObserver(s *screen.Screen, verbose bool, dir string) (*observer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, explain("make the folder for logs", err)
	}
	return &observer{screen: s, verbose: verbose, dir: dir, files: make(map[string]*logFile)}, nil
}

// hush stops the telling of deaths: from now on they are wanted.
func (o *observer) hush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hushed = true
}

// Changed tells deaths and recoveries. First starts are told by those who wait for them.
func (o *observer) Changed(e proc.Event) {
	o.mu.Lock()
	hushed := o.hushed
	o.mu.Unlock()
	if hushed {
		return
	}
	switch {
	case e.State == proc.Exited:
		o.screen.Warn(e.Name, "%s; starting it again in %s", e.Exit, seconds(e.Next))
	case e.State == proc.Ready && e.Start > 1:
		o.screen.Say(e.Name, "ready again %s", seconds(e.Took))
	}
}

// Printed keeps a line, and shows those that a person should see.
func (o *observer) Printed(l proc.Line) {
	o.mu.Lock()
	o.keep(l)
	hushed := o.hushed
	o.mu.Unlock()
	if o.verbose || !hushed && alarming(l.Text) {
		o.screen.Log(l.Name, l.Text)
	}
}

// alarming tells whether a line is news for who did not ask for the log: what fails in a single call is told to its
// caller.
func alarming(line string) bool {
	var record struct {
		Level   string `json:"level"`
		Message string `json:"message"`
	}
	if !strings.HasPrefix(line, "{") || json.Unmarshal([]byte(line), &record) != nil {
		return true // a panic, say
	}
	return record.Level == "error" && record.Message != "call"
}

// keep writes a line to the service's file. A log that cannot be kept is nothing the engine should end for.
func (o *observer) keep(l proc.Line) {
	log := o.files[l.Name]
	if log == nil || log.size > maxLog {
		name := filepath.Join(o.dir, l.Name+".log")
		if log != nil {
			_ = log.file.Close()
			delete(o.files, l.Name)
		}
		if info, err := os.Stat(name); err == nil && info.Size() > maxLog {
			_ = os.Rename(name, name+".1")
		}
		file, err := os.OpenFile(name, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			return
		}
		log = &logFile{file: file}
		if info, err := file.Stat(); err == nil {
			log.size = info.Size()
		}
		o.files[l.Name] = log
	}
	n, _ := fmt.Fprintln(log.file, l.Text)
	log.size += int64(n)
}

func (o *observer) close() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	var errs []error
	for _, log := range o.files {
		errs = append(errs, log.file.Close())
	}
	clear(o.files)
	return errors.Join(errs...)
}
