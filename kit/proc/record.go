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

// write replaces the file, whole or not at all.
func (r Record) write(file string) (err error) {
	content, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("write the state of a process: %w", err)
	}
	temp, err := os.CreateTemp(filepath.Dir(file), "."+filepath.Base(file)+"-*")
	if err != nil {
		return fmt.Errorf("write the state of a process: %w", err)
	}
	_, err = temp.Write(append(content, '\n'))
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), file)
	}
	if err != nil {
		return fmt.Errorf("write the state of a process: %w", errors.Join(err, os.Remove(temp.Name())))
	}
	return nil
}
