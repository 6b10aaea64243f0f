// Package processdir follows the directory in which k8s-manager's process mode tells of a runtime's processes: what there
// is, what each does, and what each has logged. It writes nothing there but a name for each version's log files, and frees
// the disk of what has been stored elsewhere.
package processdir

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/konstellation-io/kre/runtime-api/internal/logbook"
)

// Names of files, as k8s-manager writes them.
const (
	versionsDir = "versions"
	nodesFile   = "nodes.json"
	stateDir    = "state"
	logsDir     = "logs"
	logSuffix   = ".log"
	stateSuffix = ".json"
	// birthFile is ours: it names the log files of a version for good, so that those of a later version of that name are
	// not taken for them.
	birthFile = ".birth"
)

// entrypointNode is the node of entrypoints.
const entrypointNode = "entrypoint"

// Dir is the directory of a runtime.
type Dir struct {
	root string
}

// Open returns the directory of a runtime. It need not be there yet.
func Open(root string) *Dir { return &Dir{root: root} }

func (d *Dir) path(version string, parts ...string) string {
	return filepath.Join(append([]string{d.root, versionsDir, version}, parts...)...)
}

// versions are the names of those that there are.
func (d *Dir) versions() ([]string, error) { return names(filepath.Join(d.root, versionsDir), "") }

// logs are the names of the processes of a version that have a log file.
func (d *Dir) logs(version string) ([]string, error) {
	return names(d.path(version, logsDir), logSuffix)
}

// names are those in a directory that end with suffix, without it. Where there is no directory there are none.
func names(dir, suffix string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for processes: %w", err)
	}
	var found []string
	for _, entry := range entries {
		if name, ok := strings.CutSuffix(entry.Name(), suffix); ok && name != "" && !strings.HasPrefix(name, ".") {
			found = append(found, name)
		}
	}
	return found, nil
}

// nodesRecord is nodes.json.
type nodesRecord struct {
	Processes []struct {
		Process  string `json:"process"`
		Workflow string `json:"workflow"`
		Node     string `json:"node"`
		Replica  int    `json:"replica"`
	} `json:"processes"`
}

// processes are those of a version's plan, in the order to show. A version that never ran has none.
func (d *Dir) processes(version string) ([]logbook.Process, error) {
	content, err := os.ReadFile(d.path(version, nodesFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the nodes of version %s: %w", version, err)
	}
	var record nodesRecord
	if err := json.Unmarshal(content, &record); err != nil {
		return nil, fmt.Errorf("read the nodes of version %s: %w", version, err)
	}
	processes := make([]logbook.Process, 0, len(record.Processes))
	for _, p := range record.Processes {
		processes = append(processes, logbook.Process{
			Version: version, Name: p.Process, Workflow: p.Workflow, Node: p.Node, Replica: p.Replica,
		})
	}
	return processes, nil
}

// birth is the name of the version's log files. It is given here if there is none yet; of several who do so at a time, one
// gives it.
func (d *Dir) birth(version string) (string, error) {
	file := d.path(version, logsDir, birthFile)
	content, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		if err = writeOnce(file, rand.Text()[:10]); err == nil {
			content, err = os.ReadFile(file)
		}
	}
	if err != nil {
		return "", fmt.Errorf("name the logs of version %s: %w", version, err)
	}
	return string(content), nil
}

// writeOnce makes a file unless it is there. It is there whole or not at all, even after a loss of power.
func writeOnce(name, content string) error {
	file, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".part-")
	if err != nil {
		return err
	}
	_, err = file.WriteString(content)
	if err == nil {
		err = file.Sync()
	}
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Link(file.Name(), name)
	}
	if errors.Is(err, fs.ErrExist) {
		err = nil
	}
	return errors.Join(err, os.Remove(file.Name()))
}

func isEntrypoint(process string) bool { return strings.HasPrefix(process, entrypointNode+"-") }
