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

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	readyWithin = 60 * time.Second // how long `kre up` may take
	endWithin   = 90 * time.Second // how long it may take to end: it lets nodes finish what they run
)

// engine is a `kre up`.
type engine struct {
	up struct {
		HTTP string `json:"http"`
		GRPC string `json:"grpc"`
		PID  int    `json:"pid"`
	}
	runtimes adminv1.RuntimeServiceClient
	versions adminv1.VersionServiceClient
	log      string // file with everything it printed
	data     string // its data directory

	conn  *grpc.ClientConn
	cmd   *exec.Cmd
	ended chan struct{}
}

func startEngine(kre, data string) (_ *engine, err error) {
	if data, err = filepath.Abs(data); err != nil {
		return nil, err
	}
	e := &engine{data: data, log: filepath.Join(filepath.Dir(data), "up.log"), ended: make(chan struct{})}
	log, err := os.Create(e.log)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, log.Close()) }() // the process has its own
	if kre, err = filepath.Abs(kre); err != nil {
		return nil, err
	}
	e.cmd = exec.Command(kre, "up", "--data", data)
	e.cmd.Stdout, e.cmd.Stderr = log, log
	// The terminal's Ctrl-C reaches this program only, which then ends kre in order.
	e.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := e.cmd.Start(); err != nil {
		return nil, fmt.Errorf("cannot start kre: %w; `make build` builds it", err)
	}
	go func() {
		defer close(e.ended)
		_ = e.cmd.Wait() // the exit code is in ProcessState
	}()
	return e, nil
}

// waitReady waits until the engine takes calls, and connects to it.
func (e *engine) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyWithin)
	defer cancel()
	if err := e.wait(ctx, "kre up", func() (bool, error) {
		content, err := os.ReadFile(filepath.Join(e.data, "up.json"))
		// Not there yet, or an earlier one's.
		return err == nil && json.Unmarshal(content, &e.up) == nil && e.up.PID == e.cmd.Process.Pid, nil
	}); err != nil {
		return err
	}
	token, err := os.ReadFile(filepath.Join(e.data, "secrets", "admin.token"))
	if err != nil {
		return err
	}
	e.conn, err = grpc.NewClient(e.up.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithPerRPCCredentials(bearer(strings.TrimSpace(string(token)))))
	if err != nil {
		return err
	}
	e.runtimes, e.versions = adminv1.NewRuntimeServiceClient(e.conn), adminv1.NewVersionServiceClient(e.conn)
	return nil
}

// wait looks again and again until the condition holds, the engine ends or the context does.
func (e *engine) wait(ctx context.Context, what string, holds func() (bool, error)) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		ok, err := holds()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				return fmt.Errorf("waited in vain for %s", what)
			}
			return ctx.Err()
		case <-e.ended:
			return fmt.Errorf("kre up: %s", e.cmd.ProcessState)
		case <-tick.C:
		}
	}
}

// stop ends the engine as Ctrl-C does.
func (e *engine) stop() error {
	if e.conn != nil {
		_ = e.conn.Close() // it only fails when it is closed already
	}
	if err := e.cmd.Process.Signal(os.Interrupt); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	select {
	case <-e.ended:
		return nil
	case <-time.After(endWithin):
		return errors.Join(fmt.Errorf("kre up did not end within %s", endWithin), e.cmd.Process.Kill())
	}
}

// bearer sends a token with every call, on loopback without TLS.
type bearer string

// GetRequestMetadata implements credentials.PerRPCCredentials.
func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(b)}, nil
}

// RequireTransportSecurity implements credentials.PerRPCCredentials.
func (bearer) RequireTransportSecurity() bool { return false }

// lastLines returns the end of a file.
func lastLines(file string) string {
	content, err := os.ReadFile(file)
	if err != nil {
		return err.Error()
	}
	lines := strings.Split(strings.TrimRight(string(content), "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-20):], "\n")
}
