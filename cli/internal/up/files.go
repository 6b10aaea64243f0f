package up

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
)

// State is what other programs may know about a running kre up: DATA/up.json, while the engine takes calls.
type State struct {
	PID  int    `json:"pid"`
	HTTP string `json:"http"` // URL
	GRPC string `json:"grpc"` // host:port
}

func (e *engine) stateFile() string { return filepath.Join(e.data, "up.json") }

// writeJSON replaces a file, whole or not at all, for its owner's eyes only.
func writeJSON(name string, value any) error {
	content, err := json.MarshalIndent(value, "", "  ")
	if err == nil {
		err = os.WriteFile(name+".new", append(content, '\n'), 0o600)
	}
	if err == nil {
		err = os.Rename(name+".new", name)
	}
	if err != nil {
		return fmt.Errorf("cannot write %s: %w", filepath.Base(name), err)
	}
	return nil
}

func removeIfThere(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// localContext is the name of the context that kre up writes.
const localContext = "local"

// writeContext lets kre's other commands find the engine. Which runtime a person works with stays, and so does the choice
// of another engine.
func writeContext(file string, local cliconfig.Context) error {
	config, err := cliconfig.LoadFile(file)
	if err != nil {
		return err
	}
	local.Runtime = config.Contexts[localContext].Runtime
	config.Contexts[localContext] = local
	if _, known := config.Contexts[config.Current]; !known {
		config.Current = localContext
	}
	return config.SaveFile(file)
}
