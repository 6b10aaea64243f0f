package run

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// State tells other commands where a version runs. It lies in .kre/run.json of the project, or, for a package, of the
// folder in which `kre run` was called.
type State struct {
	GRPC string `json:"grpc"` // host:port
	HTTP string `json:"http"` // host:port
	NATS string `json:"nats"` // URL with the token, which is why nobody else may read the file
	PID  int    `json:"pid"`  // of kre run
}

func statePath(dir string) string { return filepath.Join(dir, ".kre", "run.json") }

// write puts the state into dir, whole or not at all.
func (s State) write(dir string) error {
	data, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := statePath(dir)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("tell other commands where the version runs: %w", err)
	}
	temp := fmt.Sprintf("%s.%d", path, s.PID)
	if err := os.WriteFile(temp, append(data, '\n'), 0o600); err != nil {
		return fmt.Errorf("tell other commands where the version runs: %w", err)
	}
	if err := os.Rename(temp, path); err != nil {
		return fmt.Errorf("tell other commands where the version runs: %w", err)
	}
	return nil
}

// forgetDead removes the state that a killed run left in dir.
func forgetDead(dir string) error {
	data, err := os.ReadFile(statePath(dir))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var found State
	if json.Unmarshal(data, &found) == nil && found.PID > 0 && !errors.Is(syscall.Kill(found.PID, 0), syscall.ESRCH) {
		return nil // it runs beside us
	}
	return os.Remove(statePath(dir))
}

// remove takes the state out of dir, unless another run has put its own there.
func (s State) remove(dir string) error {
	path := statePath(dir)
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	var found State
	if err := json.Unmarshal(data, &found); err == nil && found.PID != s.PID {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	// Beside a package there was perhaps no such folder; one that holds something stays.
	_ = os.Remove(filepath.Dir(path))
	return nil
}
