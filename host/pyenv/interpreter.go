package pyenv

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/konstellation-io/kre/kit/proc"
)

// oldest Python that nodes run on.
const oldestMinor = 10

//go:embed interpreter.py
var describe string

// Interpreter is a Python that nodes run on.
type Interpreter struct {
	Path     string `json:"path"`     // absolute, of the interpreter itself rather than of a virtual environment
	Version  string `json:"version"`  // e.g. 3.12.4
	Tag      string `json:"tag"`      // e.g. cp312
	Platform string `json:"platform"` // e.g. linux/amd64
}

// target names what wheels are made for, e.g. linux/amd64-cp312.
func (i Interpreter) target() string { return i.Platform + "-" + i.Tag }

// Find answers which Python nodes run on: the named one, else $KRE_PYTHON, else python3 in PATH. cache is as in
// [Options].
func Find(ctx context.Context, python, cache string) (Interpreter, error) {
	if python == "" {
		python = os.Getenv("KRE_PYTHON")
	}
	if python == "" {
		python = "python3"
	}
	path, err := exec.LookPath(python)
	if err != nil {
		return Interpreter{}, fmt.Errorf(
			"no Python: %q cannot be found. Install Python 3.%d or later, or name one in KRE_PYTHON", python, oldestMinor)
	}
	cache, err = cacheFolder(cache)
	if err != nil {
		return Interpreter{}, err
	}
	found, err := identify(ctx, path, filepath.Join(cache, "python"))
	if err != nil {
		return Interpreter{}, err
	}
	var major, minor int
	if _, err := fmt.Sscanf(found.Version, "%d.%d", &major, &minor); err != nil || major != 3 || minor < oldestMinor {
		return Interpreter{}, fmt.Errorf(
			"%s is Python %s: nodes need Python 3.%d or later. Name one in KRE_PYTHON", path, found.Version, oldestMinor)
	}
	return found, nil
}

// identify asks the interpreter what it is, or remembers what it said.
func identify(ctx context.Context, path, memory string) (Interpreter, error) {
	note, err := noteFor(path, memory)
	if err != nil {
		return Interpreter{}, fmt.Errorf("look at %s: %w", path, err)
	}
	var found Interpreter
	if data, err := os.ReadFile(note); note != "" && err == nil && json.Unmarshal(data, &found) == nil {
		return found, nil
	}
	data, err := output(proc.Bind(exec.CommandContext(ctx, path, "-I", "-c", describe)))
	if err != nil {
		return Interpreter{}, fmt.Errorf("ask %s what it is: %w", path, err)
	}
	if err := json.Unmarshal(data, &found); err != nil {
		return Interpreter{}, fmt.Errorf("ask %s what it is: %w", path, err)
	}
	if note != "" {
		if err := writeFile(note, data); err != nil {
			return Interpreter{}, err
		}
	}
	return found, nil
}

// noteFor answers the file that holds what the interpreter said, "" if it has to be asked each time: a script that
// chooses an interpreter (pyenv, asdf) may choose another one the next time.
func noteFor(path, memory string) (string, error) {
	resolved, err := filepath.EvalSymlinks(path)
	if err != nil {
		return "", err
	}
	info, err := os.Stat(resolved)
	if err != nil {
		return "", err
	}
	if script, err := isScript(resolved); err != nil || script {
		return "", err
	}
	// A virtual environment's interpreter is a link to the one it was made from, which is the one that is wanted.
	what := fmt.Sprintf("%s\n%d\n%d\n%s", resolved, info.Size(), info.ModTime().UnixNano(), describe)
	sum := sha256.Sum256([]byte(what))
	return filepath.Join(memory, hex.EncodeToString(sum[:8])+".json"), nil
}

func isScript(name string) (bool, error) {
	file, err := os.Open(name)
	if err != nil {
		return false, err
	}
	defer func() { _ = file.Close() }() // only read
	start := make([]byte, 2)
	if _, err := io.ReadFull(file, start); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	return string(start) == "#!", nil
}

// output runs a command and answers what it printed; its complaints are in the error.
func output(cmd *exec.Cmd) ([]byte, error) {
	var out, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &complaint
	if err := cmd.Run(); err != nil {
		if text := strings.TrimSpace(complaint.String()); text != "" {
			return nil, errors.New(text)
		}
		return nil, err
	}
	return out.Bytes(), nil
}
