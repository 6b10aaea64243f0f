package pyenv

import (
	"archive/zip"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"

	"github.com/konstellation-io/kre/host/filelock"
	"github.com/konstellation-io/kre/kit/proc"
)

// uvVersion is the version that uv.lock holds the hashes of.
const uvVersion = "0.13.8"

//go:embed uv.lock
var uvLock []byte

// ensureUV answers the path of uv, which is fetched into the cache when it is first needed.
func ensureUV(ctx context.Context, opts Options) (string, error) {
	dir := filepath.Join(opts.Cache, "tools", "uv-"+uvVersion)
	uv := filepath.Join(dir, "uv")
	if _, err := os.Stat(uv); err == nil {
		return uv, nil
	}
	unlock, err := filelock.Lock(ctx, dir+".lock")
	if err != nil {
		return "", fmt.Errorf("wait for another kre that fetches uv: %w", err)
	}
	defer unlock()
	if _, err := os.Stat(uv); err == nil {
		return uv, nil
	}
	opts.Say("fetch uv " + uvVersion + ", which resolves requirements (once)")
	temp, err := os.MkdirTemp("", "kre-uv-*")
	if err != nil {
		return "", err
	}
	defer func() { _ = os.RemoveAll(temp) }() // the system's own folder for what is temporary
	pins := filepath.Join(temp, "uv.lock")
	if err := os.WriteFile(pins, uvLock, 0o600); err != nil {
		return "", err
	}
	if err := download(ctx, opts, pins, temp); err != nil {
		return "", fmt.Errorf("fetch uv: %w", err)
	}
	wheels, err := filepath.Glob(filepath.Join(temp, "*.whl"))
	if err != nil || len(wheels) != 1 {
		return "", fmt.Errorf("fetch uv: %d wheels came instead of one", len(wheels))
	}
	if err := extractUV(wheels[0], uv); err != nil {
		return "", fmt.Errorf("fetch uv: %w", err)
	}
	return uv, nil
}

// extractUV takes the executable out of its wheel.
func extractUV(wheel, target string) error {
	content, err := zip.OpenReader(wheel)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // only read
	for _, file := range content.File {
		if ok, _ := path.Match("uv-*.data/scripts/uv", file.Name); !ok {
			continue
		}
		in, err := file.Open()
		if err != nil {
			return err
		}
		data, err := io.ReadAll(in)
		if err = errors.Join(err, in.Close()); err != nil {
			return err
		}
		partial := target + ".part"
		if err := writeFile(partial, data); err != nil {
			return err
		}
		if err := os.Chmod(partial, 0o755); err != nil { //nolint:gosec // an executable
			return err
		}
		return os.Rename(partial, target)
	}
	return errors.New("the wheel holds no uv")
}

// download fetches exactly the wheels that a file pins by hash, for this platform and Python.
func download(ctx context.Context, opts Options, pins, dir string) error {
	python, err := pythonWithPip(ctx, opts)
	if err != nil {
		return err
	}
	cmd := proc.Bind(exec.CommandContext(ctx, python, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet",
		"download", "--no-deps", "--require-hashes", "--only-binary=:all:", "--requirement", pins, "--dest", dir))
	_, err = output(cmd)
	return err
}

// pythonWithPip answers an interpreter of the same Python that has pip: the one in use, or one in an environment that is
// made for it.
func pythonWithPip(ctx context.Context, opts Options) (string, error) {
	if _, err := output(proc.Bind(exec.CommandContext(ctx, opts.Interpreter.Path, "-m", "pip", "--version"))); err == nil {
		return opts.Interpreter.Path, nil
	}
	dir := filepath.Join(opts.Cache, "tools", "pip-"+opts.Interpreter.Tag)
	python := filepath.Join(dir, "bin", "python")
	unlock, err := filelock.Lock(ctx, dir+".lock")
	if err != nil {
		return "", fmt.Errorf("wait for another kre: %w", err)
	}
	defer unlock()
	if _, err := output(proc.Bind(exec.CommandContext(ctx, python, "-m", "pip", "--version"))); err == nil {
		return python, nil
	}
	if _, err := output(proc.Bind(exec.CommandContext(ctx, opts.Interpreter.Path, "-m", "venv", "--clear", dir))); err != nil {
		return "", fmt.Errorf("%s has no pip to fetch packages with: on Debian, apt-get install python3-pip", opts.Interpreter.Path)
	}
	return python, nil
}
