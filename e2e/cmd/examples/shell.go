package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	patience  = 3 * time.Minute // for what should be there within seconds
	endWithin = 30 * time.Second
	tick      = 50 * time.Millisecond
)

// shell runs the commands of one README.
type shell struct {
	dir string
	env []string
	run *background // nil: nothing runs
}

// newShell returns a shell in which the built programs come first.
func newShell(dir string) (*shell, error) {
	bin := os.Getenv("KRE_BIN")
	if bin == "" {
		bin = filepath.Join("..", "bin")
	}
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if _, err := os.Stat(filepath.Join(bin, "kre")); err != nil {
		return nil, fmt.Errorf("kre is not built: run `make build` (%w)", err)
	}
	return &shell{dir: dir, env: append(os.Environ(), "PATH="+bin+string(filepath.ListSeparator)+os.Getenv("PATH"))}, nil
}

func (s *shell) do(ctx context.Context, step step) error {
	switch {
	case step.command == "":
		if s.run == nil {
			return errors.New("nothing runs that could print anything")
		}
		return s.run.waitFor(ctx, "what the README shows is printed", func() bool { return len(missing(step.want, s.run.printed())) == 0 })
	case strings.HasPrefix(step.command, "kre run"):
		if err := s.stop(); err != nil {
			return err
		}
		return s.start(ctx, step)
	default:
		return s.finish(ctx, step)
	}
}

// finish runs a command to its end.
func (s *shell) finish(ctx context.Context, step step) error {
	command := step.command
	if s.run != nil {
		command = strings.ReplaceAll(command, "localhost:9000", s.run.addresses.GRPC)
		command = strings.ReplaceAll(command, "localhost:8080", s.run.addresses.HTTP)
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	cmd := s.command(ctx, command)
	printed, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", step.title(), err, printed)
	}
	// Make does nothing where nothing has changed.
	if len(printed) == 0 && strings.HasPrefix(command, "make ") {
		return nil
	}
	if absent := missing(step.want, string(printed)); len(absent) > 0 {
		return fmt.Errorf("%s: it should print\n%s\nand has printed\n%s", step.title(), strings.Join(absent, "\n"), printed)
	}
	return nil
}

func (s *shell) command(ctx context.Context, line string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "bash", "-c", "set -euo pipefail; "+line)
	cmd.Dir, cmd.Env = s.dir, s.env
	cmd.WaitDelay = endWithin
	return cmd
}

// background is a `kre run`.
type background struct {
	addresses struct {
		GRPC string `json:"grpc"`
		HTTP string `json:"http"`
	}
	cmd   *exec.Cmd
	ended chan struct{}
	mu    sync.Mutex
	text  bytes.Buffer
}

// start starts `kre run` and waits until it takes calls.
func (s *shell) start(ctx context.Context, step step) error {
	state := filepath.Join(s.dir, ".kre", "run.json")
	if err := os.Remove(state); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	b := &background{ended: make(chan struct{})}
	b.cmd = s.command(context.WithoutCancel(ctx), "exec "+step.command+" --grpc-port 0 --http-port 0")
	b.cmd.Stdout, b.cmd.Stderr = b, b
	b.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it through stop
	if err := b.cmd.Start(); err != nil {
		return err
	}
	go func() {
		defer close(b.ended)
		_ = b.cmd.Wait() // the exit code is in ProcessState
	}()
	s.run = b
	return b.waitFor(ctx, "the version takes calls", func() bool {
		content, err := os.ReadFile(state)
		return err == nil && json.Unmarshal(content, &b.addresses) == nil && len(missing(step.want, b.printed())) == 0
	})
}

// stop ends what runs, if anything does.
func (s *shell) stop() error {
	if s.run == nil {
		return nil
	}
	b := s.run
	s.run = nil
	if err := b.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-b.ended:
		return nil
	case <-time.After(endWithin):
		return errors.Join(fmt.Errorf("kre run does not end after Ctrl-C:\n%s", b.printed()), b.cmd.Process.Kill())
	}
}

// Write keeps what the version prints.
func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *background) printed() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *background) waitFor(ctx context.Context, what string, condition func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	for !condition() {
		select {
		case <-b.ended:
			return fmt.Errorf("kre run has ended (%s) before %s:\n%s", b.cmd.ProcessState, what, b.printed())
		case <-ctx.Done():
			return fmt.Errorf("waited in vain until %s: %w\n%s", what, ctx.Err(), b.printed())
		case <-ticker.C:
		}
	}
	return nil
}
