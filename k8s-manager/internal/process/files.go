package process

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

func writeWhole(name string, content []byte) error {
	temp, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = temp.Write(content)
	if err == nil {
		err = temp.Sync()
	}
	if err = errors.Join(err, temp.Close()); err == nil {
		err = os.Rename(temp.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(temp.Name()))
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
