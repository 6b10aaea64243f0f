package proc

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// makeFolder makes the folder of a file.
func makeFolder(file string) error { return os.MkdirAll(filepath.Dir(file), 0o700) }

func (r *Record) read(file string) error {
	content, err := os.ReadFile(file)
	if err != nil {
		return fmt.Errorf("read the state of a process: %w", err)
	}
	if err := json.Unmarshal(content, r); err != nil {
		return fmt.Errorf("read the state of a process: %s: %w", file, err)
	}
	return nil
}

// write replaces the file, whole or not at all. Only who has the supervisor's lock writes, so that one name does for what
// is not whole yet, and what a killed one has left is written over.
func (r Record) write(file string) error {
	content, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the state of a process: %w", err)
	}
	partial := filepath.Join(filepath.Dir(file), "."+filepath.Base(file)+".part")
	if err := os.WriteFile(partial, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the state of a process: %w", err)
	}
	if err := os.Rename(partial, file); err != nil {
		return fmt.Errorf("write the state of a process: %w", errors.Join(err, os.Remove(partial)))
	}
	return nil
}
