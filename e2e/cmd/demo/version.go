package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// endWithin is how long `kre run` may take to end: it lets nodes finish what they run.
const endWithin = 30 * time.Second

// version is a `kre run` of a package.
type version struct {
	addresses struct {
		GRPC string `json:"grpc"`
		HTTP string `json:"http"`
	}
	log string // file with everything it printed

	cmd   *exec.Cmd
	state string // file in which kre tells the addresses
	ended chan struct{}
}

func startVersion(kre, krt, envFile string) (_ *version, err error) {
	dir := filepath.Dir(krt)
	v := &version{log: filepath.Join(dir, "run.log"), state: filepath.Join(dir, ".kre", "run.json"), ended: make(chan struct{})}
	log, err := os.Create(v.log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }() // the process has its own
	// Its folder is where kre tells the addresses, so the paths have to hold there.
	if kre, err = filepath.Abs(kre); err != nil {
		return nil, err
	}
	if envFile, err = filepath.Abs(envFile); err != nil {
		return nil, err
	}
	v.cmd = exec.Command(kre, "run", filepath.Base(krt), "--env-file", envFile)
	v.cmd.Dir = dir
	v.cmd.Stdout, v.cmd.Stderr = log, log
	// The terminal's Ctrl-C reaches this program only, which then ends kre in order.
	v.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := os.Remove(v.state); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	if err := v.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start kre: %w; `make build` builds it", err)
	}
	go func() {
		defer close(v.ended)
		_ = v.cmd.Wait() // the exit code is in ProcessState
	}()
	return v, nil
}

func (v *version) waitReady(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-v.ended:
			return fmt.Errorf("kre run: %s", v.cmd.ProcessState)
		case <-tick.C:
		}
		content, err := os.ReadFile(v.state)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		return json.Unmarshal(content, &v.addresses)
	}
}

// stop ends the version as Ctrl-C does.
func (v *version) stop() error {
	if err := v.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-v.ended:
		return nil
	case <-time.After(endWithin):
		return errors.Join(fmt.Errorf("kre run did not end within %s", endWithin), v.cmd.Process.Kill())
	}
}

// lastLines returns the end of a file.
func lastLines(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
