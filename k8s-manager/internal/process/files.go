package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// The names of files, as the README tells them.
const (
	runtimesDir     = "runtimes"
	removedDir      = "removed" // of the data directory: what is no longer there, and is being removed
	runtimeFile     = "runtime.json"
	addressFile     = "address.json"
	addressAckFile  = "address.ack.json"
	accountSeedFile = "account.seed"
	packagesDir     = "packages"
	versionsDir     = "versions"
	versionFile     = "version.json"
	keptFile        = "kept.json"
	planFile        = "plan.json"
	nodesFile       = "nodes.json"
	credsFile       = "nats.creds"
	userSeedFile    = "user.seed"
	filesDir        = "files"
	stateDir        = "state"
	logsDir         = "logs"
	processesDir    = "processes"
)

// writeJSON replaces a file, whole or not at all, mode 0600. What it returns from has survived a loss of power.
func writeJSON(name string, value any) error {
	content, err := json.Marshal(value)
	if err == nil {
		err = writeWhole(name, append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(name), err)
	}
	return nil
}

const partial = ".part" // ends the name of a file that is being written

// writeWhole is called by one at a time for a file, so that what a killed one has left is written over.
func writeWhole(name string, content []byte) error {
	part := filepath.Join(filepath.Dir(name), "."+filepath.Base(name)+partial)
	file, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(part, name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(part))
	}
	return nil
}

// sweepPartial removes what a killed program was writing in a directory, and the directory if it was only just made.
func sweepPartial(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("clean up: %w", err)
	}
	left := len(entries)
	for _, entry := range entries {
		if name := entry.Name(); strings.HasPrefix(name, ".") && strings.HasSuffix(name, partial) {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				return fmt.Errorf("clean up: %w", err)
			}
			left--
		}
	}
	if left == 0 {
		return os.Remove(dir)
	}
	return nil
}

// readJSON fails with fs.ErrNotExist where there is no such file.
func readJSON(name string, value any) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return fmt.Errorf("read %s: %w", filepath.Base(name), err)
	}
	if err := json.Unmarshal(content, value); err != nil {
		return fmt.Errorf("read %s: %w", name, err)
	}
	return nil
}
