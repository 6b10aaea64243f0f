package call

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// stateFile is where `kre run` tells the address of what it runs, from the project's folder.
const stateFile = ".kre/run.json"

// address returns what to call: what was asked for, else what runs in this folder or in one around it.
func (c *Command) address() (string, error) {
	if c.Addr != "" {
		return c.Addr, nil
	}
	folder, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("look for a running version: %w", err)
	}
	for {
		addr, err := runningIn(folder)
		if err != nil || addr != "" {
			return addr, err
		}
		above := filepath.Dir(folder)
		if above == folder {
			return defaultAddr, nil
		}
		folder = above
	}
}

// runningIn returns the address of the version that runs in a folder; empty: none does.
func runningIn(folder string) (string, error) {
	content, err := os.ReadFile(filepath.Join(folder, filepath.FromSlash(stateFile)))
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("look for a running version: %w", err)
	}
	var state struct {
		GRPC string `json:"grpc"`
	}
	if err := json.Unmarshal(content, &state); err != nil {
		return "", fmt.Errorf("look for a running version: %s in %s: %w", stateFile, folder, err)
	}
	return state.GRPC, nil
}
