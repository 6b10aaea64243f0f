package up

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/konstellation-io/kre/cli/internal/ports"
	"github.com/konstellation-io/kre/host/filelock"
)

// data is the folder in which an engine keeps everything:
//
//	up.json        where it is, while it runs: see State
//	up.lock        held while it runs; in it the number of the process
//	ports.json     ports that stay the same
//	secrets/       tokens and keys: see the package secrets
//	nats/, documents/, objects/    the embedded stores
//	manager/       runtimes and versions, kept by k8s-manager
//	logs/          what admin-api and k8s-manager log
type data struct {
	dir  string
	lock *os.File
}

func defaultData() (string, error) {
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "kre"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find the user's data folder: %w; --data names one", err)
	}
	if runtime.GOOS == "darwin" {
		return filepath.Join(home, "Library", "Application Support", "kre"), nil
	}
	return filepath.Join(home, ".local", "share", "kre"), nil
}

// dying is how long what a killed kre has left may hold the lock: its guard ends it.
const dying = 10 * time.Second

// openData takes the folder, which nobody else may use meanwhile.
func openData(ctx context.Context, dir string) (*data, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	d := &data{dir: dir}
	for deadline := time.Now().Add(dying); ; {
		// One try is enough where nobody has it; the process that does may be one that is just dying.
		try, cancel := context.WithTimeout(ctx, 100*time.Millisecond)
		lock, err := filelock.Open(try, d.path("up.lock"))
		cancel()
		if err == nil {
			d.lock = lock
			break
		}
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) {
			return nil, err
		}
		if owner := d.owner(); owner != 0 && alive(owner) {
			return nil, fmt.Errorf("%s is used by another kre up, process %d: stop that one, or give this one another folder with --data", dir, owner)
		}
		if time.Now().After(deadline) {
			return nil, fmt.Errorf("%s is used by what another kre up has left: its lock %s is held", dir, d.path("up.lock"))
		}
	}
	if err := errors.Join(d.lock.Truncate(0), func() error {
		_, err := d.lock.WriteAt([]byte(strconv.Itoa(os.Getpid())+"\n"), 0)
		return err
	}()); err != nil {
		return nil, errors.Join(fmt.Errorf("use the data folder: %w", err), d.lock.Close())
	}
	return d, nil
}

func (d *data) path(name string) string { return filepath.Join(d.dir, name) }

// owner is the process that holds the lock; 0: nobody knows.
func (d *data) owner() int {
	content, err := os.ReadFile(d.path("up.lock"))
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(content)))
	if err != nil {
		return 0
	}
	return pid
}

func alive(pid int) bool { return !errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }

func (d *data) close() error { return d.lock.Close() } // closing unlocks

// State tells other programs where the engine of a data folder is: it lies in up.json while the engine is ready.
type State struct {
	PID  int    `json:"pid"`  // of kre up
	HTTP string `json:"http"` // http://host:port of the REST API
	GRPC string `json:"grpc"` // host:port of the gRPC API
}

// Running is the engine that runs on a data folder; ok is false where none does.
func Running(dir string) (state State, ok bool) {
	content, err := os.ReadFile(filepath.Join(dir, "up.json"))
	if err != nil || json.Unmarshal(content, &state) != nil {
		return State{}, false
	}
	return state, state.PID > 0 && alive(state.PID)
}

func (d *data) writeState(s State) error {
	return explain("tell other commands where the engine is", d.write("up.json", s))
}

func (d *data) removeState() error {
	if err := os.Remove(d.path("up.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (d *data) write(name string, value any) error {
	content, err := json.Marshal(value)
	if err != nil {
		return err
	}
	if err := os.WriteFile(d.path(name+".new"), append(content, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(d.path(name+".new"), d.path(name))
}

// kept are ports that stay the same, so that processes that have survived find the stores again; 0: none is kept.
type kept struct {
	HTTP      int `json:"http,omitempty"`
	GRPC      int `json:"grpc,omitempty"`
	FirstGRPC int `json:"first_grpc,omitempty"`
	FirstHTTP int `json:"first_http,omitempty"`
	Manager   int `json:"manager,omitempty"`
	NATS      int `json:"nats,omitempty"`
	Documents int `json:"documents,omitempty"`
	Objects   int `json:"objects,omitempty"`
}

// keptPorts are those of the last time; where they cannot be read, none are: they are picked anew.
func (d *data) keptPorts() kept {
	var k kept
	content, err := os.ReadFile(d.path("ports.json"))
	if err != nil || json.Unmarshal(content, &k) != nil {
		return kept{}
	}
	return k
}

// settling is how long a port of the last time may still be in use by what a killed kre has left.
const settling = 2 * time.Second

// again is the port of the last time if it is free or is about to be, else another.
func again(ctx context.Context, port *int) error {
	for deadline := time.Now().Add(settling); *port != 0 && !ports.Free(*port) && time.Now().Before(deadline); {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
	picked, err := ports.Pick(*port)
	*port = picked
	return err
}
