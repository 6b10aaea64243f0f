package pyenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/konstellation-io/kre/host/filelock"
	"github.com/konstellation-io/kre/kit/proc"
)

// resolve answers what requirements resolve to here, together with the SDK's own: what the lock beside them says, or
// what was found out before, or what the package index says now. With wheelsOnly every package must have a wheel;
// without, one that has none is built from its source.
func resolve(ctx context.Context, opts Options, sdk []wheel, wanted *requirements, wheelsOnly bool) (lock, error) {
	needs, err := sdkRequires(sdk)
	if err != nil {
		return lock{}, err
	}
	python, inputs := *opts.Interpreter, wanted.inputs(needs)
	beside, ours, err := readLock(wanted.lock())
	if err != nil {
		return lock{}, err
	}
	if ours && beside.fits(python, inputs) {
		return beside, nil
	}
	for _, strict := range []bool{true, false} {
		if strict || !wheelsOnly {
			known, ours, err := readLock(memoryOf(opts.Cache, python, inputs, strict))
			if err != nil || ours {
				return known, err
			}
		}
	}
	unlock, err := filelock.Lock(ctx, filepath.Join(opts.Cache, "locks", ".lock"))
	if err != nil {
		return lock{}, fmt.Errorf("wait for another kre that resolves requirements: %w", err)
	}
	defer unlock()
	opts.Say("resolve " + wanted.path)
	result := lock{Platform: python.Platform, Python: python.Tag, Inputs: inputs}
	if beside.target() != python.target() {
		beside = lock{} // its hashes and versions are another platform's
	}
	strict := true
	result.Pins, err = compile(ctx, opts, wanted, needs, beside, strict)
	if err != nil && !wheelsOnly {
		strict = false
		result.Pins, err = compile(ctx, opts, wanted, needs, beside, strict)
	}
	if err != nil {
		return lock{}, fmt.Errorf("resolve %s for %s: %w", wanted.path, python.target(), err)
	}
	return result, writeFile(memoryOf(opts.Cache, python, inputs, strict), []byte(result.String()))
}

// memoryOf names the file that remembers what requirements resolved to.
func memoryOf(cache string, python Interpreter, inputs string, wheelsOnly bool) string {
	kind := "any"
	if wheelsOnly {
		kind = "wheels"
	}
	name := strings.TrimPrefix(inputs, "sha256:")[:20] + "-" + folderFor(python) + "-" + kind + ".lock"
	return filepath.Join(cache, "locks", name)
}

// compile asks the package index. Versions in the old lock are kept where the requirements allow it.
func compile(ctx context.Context, opts Options, wanted *requirements, needs []string, old lock, wheelsOnly bool) ([]pin, error) {
	uv, err := ensureUV(ctx, opts)
	if err != nil {
		return nil, err
	}
	temp, err := os.MkdirTemp("", "kre-resolve-*")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(temp) }() // the system's own folder for what is temporary
	sdk, out := filepath.Join(temp, "sdk.txt"), filepath.Join(temp, "out.txt")
	if err := os.WriteFile(sdk, []byte(strings.Join(needs, "\n")+"\n"), 0o600); err != nil {
		return nil, err
	}
	if err := os.WriteFile(out, []byte(old.String()), 0o600); err != nil {
		return nil, err
	}
	args := []string{
		"pip", "compile", "--quiet", "--generate-hashes", "--no-header", "--no-annotate", "--no-strip-markers",
		"--python", opts.Interpreter.Path, "--output-file", out,
	}
	if wheelsOnly {
		args = append(args, "--only-binary", ":all:")
	}
	cmd := uvCommand(ctx, opts, uv, append(args, wanted.name, sdk)...)
	cmd.Dir = filepath.Dir(wanted.name)
	if _, err := output(cmd); err != nil {
		return nil, fmt.Errorf("%s (the SDK itself needs %s)", explain(err.Error()), strings.Join(needs, ", "))
	}
	text, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	l, _, err := parseLock(lockTitle + "\n" + string(text))
	return l.Pins, err
}

var (
	drawing = regexp.MustCompile(`(?m)^[ ×╰─▶|]+`)
	label   = regexp.MustCompile(`(?m)^(error|cause|hint): *`)
)

// explain turns the resolver's picture into plain lines, the advice aside, which is about options of its own.
func explain(text string) string {
	text = label.ReplaceAllString(drawing.ReplaceAllString(text, ""), "$1: ")
	var lines []string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "hint: ") {
			break
		}
		if line = label.ReplaceAllString(line, ""); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, ": ")
}

// fetchInto puts the packages of the lock into the environment of that interpreter.
func (e *env) fetchInto(ctx context.Context, python string) error {
	uv, err := ensureUV(ctx, e.opts)
	if err != nil {
		return err
	}
	file, err := writePins(e.lock.Pins, e.fetch.options)
	if err != nil {
		return err
	}
	defer func() { _ = os.Remove(file) }() // the system's own folder for what is temporary
	cmd := uvCommand(ctx, e.opts, uv, "pip", "install", "--quiet", "--no-deps", "--require-hashes", "--python", python,
		"--requirements", file)
	cmd.Dir = filepath.Dir(e.fetch.name)
	cmd.ExtraFiles = []*os.File{e.held}
	if _, err := output(cmd); err != nil {
		return fmt.Errorf("install what %s asks for: %s", e.fetch.path, explain(err.Error()))
	}
	return nil
}

// writePins writes a requirements file of its own for some pins.
func writePins(pins []pin, options []string) (string, error) {
	file, err := os.CreateTemp("", "kre-pins-*.txt")
	if err != nil {
		return "", err
	}
	var text strings.Builder
	for _, option := range options {
		text.WriteString(option + "\n")
	}
	for _, p := range pins {
		text.WriteString(p.Text + "\n")
	}
	_, err = file.WriteString(text.String())
	if err = errors.Join(err, file.Close()); err != nil {
		return "", errors.Join(err, os.Remove(file.Name()))
	}
	return file.Name(), nil
}

// uvCommand is a run of uv that keeps to kre's cache and to the Python it is given.
func uvCommand(ctx context.Context, opts Options, uv string, args ...string) *exec.Cmd {
	cmd := proc.Bind(exec.CommandContext(ctx, uv, args...))
	cmd.Env = append(os.Environ(), "UV_PYTHON_DOWNLOADS=never", "UV_NO_PROGRESS=1", "NO_COLOR=1", "VIRTUAL_ENV=")
	if os.Getenv("UV_CACHE_DIR") == "" {
		cmd.Env = append(cmd.Env, "UV_CACHE_DIR="+filepath.Join(opts.Cache, "uv"))
	}
	// uv has settings of its own; whoever has told pip only which index to use means uv as well.
	if index := os.Getenv("PIP_INDEX_URL"); index != "" && os.Getenv("UV_DEFAULT_INDEX") == "" && os.Getenv("UV_INDEX_URL") == "" {
		cmd.Env = append(cmd.Env, "UV_DEFAULT_INDEX="+index)
	}
	return cmd
}
