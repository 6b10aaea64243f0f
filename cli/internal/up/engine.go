package up

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/konstellation-io/kre/cli/internal/cliconfig"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/cli/internal/secrets"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
)

// engine is one `kre up`.
type engine struct {
	settings
	screen   *screen.Screen
	observer *observer
	files    []io.Closer // logs

	lock    *os.File // of the data directory
	secrets *secrets.Secrets
	ports   chosen
	stores  *stores
	super   *proc.Supervisor
	manager *proc.Process
	admin   *proc.Process
	forced  atomic.Bool // it is to end at once
}

// Who speaks, beside the services.
const (
	storesColumn = "stores"
	engineColumn = "engine"
	dataColumn   = "data"
	tryColumn    = "try"
)

// runEngine runs the engine from its start to its end.
func runEngine(ctx context.Context, settings settings) (err error) {
	began := time.Now()
	e := &engine{settings: settings, screen: screen.New(screen.Options{Out: settings.out, Color: settings.color})}
	e.observer = &observer{screen: e.screen, logs: make(map[string]io.Writer)}
	e.screen.Names(k8sManager, adminAPI, storesColumn, engineColumn, dataColumn, tryColumn)
	if e.lock, err = lockData(ctx, e.data); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return err
	}
	if e.guard != nil {
		// Whoever starts an engine on this data next waits until the guard of a killed one has done its work.
		e.guard.ExtraFiles = []*os.File{e.lock}
	}
	e.super = proc.New(proc.Options{Observer: e.observer, Guard: e.guard})

	over, watched := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(watched)
		select {
		case <-e.again:
			e.forced.Store(true)
			e.super.KillAll()
		case <-over:
		}
	}()
	end := func() error {
		err := e.end()
		close(over)
		<-watched
		if e.forced.Load() {
			err = errors.Join(err, context.Canceled)
		}
		return err
	}

	if err := e.start(ctx); err != nil {
		ended := end()
		if ctx.Err() != nil {
			return errors.Join(ended, context.Cause(ctx))
		}
		return errors.Join(startFailed(err), ended)
	}
	if err := writeJSON(e.stateFile(), e.state()); err != nil {
		return errors.Join(err, end())
	}
	e.sayReady(time.Since(began))
	<-ctx.Done()
	e.screen.Say("", "Stopping what runs; Ctrl-C again ends it at once")
	stopping := time.Now()
	if err := end(); err != nil {
		return err
	}
	e.screen.Say("", "Stopped in %s; kre up goes on with everything", seconds(time.Since(stopping)))
	return nil
}

// start brings everything up.
func (e *engine) start(ctx context.Context) (err error) {
	if err := removeIfThere(e.stateFile()); err != nil { // a killed one has left it
		return err
	}
	if e.secrets, err = secrets.Open(filepath.Join(e.data, "secrets")); err != nil {
		return err
	}
	e.ports, err = choosePorts(ctx, filepath.Join(e.data, "ports.json"),
		wanted{http: e.http, grpc: e.grpc, firstGRPC: e.firstRPC, firstHTTP: e.firstWeb},
		func(wanted, got int) { e.screen.Warn("", "port %d is taken: %d instead", wanted, got) })
	if err != nil {
		return err
	}
	if err := e.openLogs(); err != nil {
		return err
	}
	if err := e.startStores(ctx); err != nil {
		return err
	}
	e.manager, e.admin = e.super.Start(e.managerSpec()), e.super.Start(e.adminSpec())
	began := time.Now()
	group, ctx := errgroup.WithContext(ctx)
	for _, service := range []*proc.Process{e.manager, e.admin} {
		group.Go(func() error {
			if err := service.WaitReady(ctx); err != nil {
				return err
			}
			e.screen.Say(service.Name(), "ready %s", seconds(time.Since(began)))
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return writeContext(e.config, cliconfig.Context{GRPC: e.state().GRPC, Socket: e.socket(adminAPI), HTTP: e.state().HTTP, Token: e.secrets.AdminToken})
}

// startStores starts the stores and, at the same time, has the keyset made.
func (e *engine) startStores(ctx context.Context) error {
	began := time.Now()
	level := "warn"
	if e.verbose {
		level = "info"
	}
	var out io.Writer = shown{screen: e.screen, who: storesColumn}
	if file := e.observer.logs[storesColumn]; file != nil {
		out = file
	}
	logger, err := log.NewWriter(log.Flags{LogFormat: log.JSON, LogLevel: level}, out)
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.secrets.MakeKeyset(ctx, filepath.Join(e.libexec, adminAPI)) })
	group.Go(func() (err error) {
		e.stores, err = openStores(ctx, storesOptions{
			given: e.given, dir: filepath.Join(e.data, "stores"), secrets: e.secrets, ports: e.ports, log: logger,
			warn: func(text string) { e.screen.Warn("nats", "%s", text) },
		})
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	e.screen.Say(storesColumn, "%s %s", e.stores.told(), seconds(time.Since(began)))
	return nil
}

func (e *engine) openLogs() error {
	if e.verbose {
		return nil
	}
	for _, name := range []string{k8sManager, adminAPI, storesColumn} {
		file, err := openLog(filepath.Join(e.data, "logs", name+".log"))
		if err != nil {
			return err
		}
		e.observer.logs[name] = file
		e.files = append(e.files, file)
	}
	return nil
}

func (e *engine) state() State {
	return State{PID: os.Getpid(), HTTP: "http://" + ports.Address(ports.Loopback, e.ports.HTTP), GRPC: ports.Address(ports.Loopback, e.ports.GRPC)}
}

// sayReady tells where the engine is, and what to do next.
func (e *engine) sayReady(took time.Duration) {
	e.screen.Say(engineColumn, "http :%d  grpc :%d  ready %s", e.ports.HTTP, e.ports.GRPC, seconds(took))
	e.screen.Say(dataColumn, "%s", e.data)
	e.screen.Say(tryColumn, "kre runtime create demo\nkre version create demo-v1.krt")
	e.screen.Say("", "Ctrl-C stops everything")
}

// end ends everything in order: who uses something before what is used.
func (e *engine) end() error {
	e.observer.hushed.Store(true)
	errs := []error{removeIfThere(e.stateFile())}
	e.stop(e.manager, managerGrace)
	if e.manager != nil {
		errs = append(errs, e.endLeft())
	}
	e.stop(e.admin, adminGrace)
	e.super.Close()
	if e.stores != nil {
		errs = append(errs, e.stores.close())
	}
	for _, file := range e.files {
		errs = append(errs, file.Close())
	}
	return errors.Join(append(errs, e.lock.Close())...) // closing unlocks
}

// stop ends a service and waits for it; one that was never started has ended.
func (e *engine) stop(service *proc.Process, grace time.Duration) {
	if service == nil {
		return
	}
	if e.forced.Load() { // it was killed, and perhaps started again
		grace = 0
	}
	service.Stop(grace)
	<-service.Done()
}

// leftWithin bounds the ending of what k8s-manager left behind.
const leftWithin = 10 * time.Second

func (e *engine) endLeft() error {
	ctx, cancel := context.WithTimeout(context.Background(), leftWithin)
	defer cancel()
	return endLeft(ctx, filepath.Join(e.data, "runtimes"), 0)
}

// startFailed is the error of a start, with the last lines of the service that is to blame.
func startFailed(err error) error {
	var failure *proc.Failure
	if !errors.As(err, &failure) {
		return err
	}
	if failure.Cause != nil || len(failure.Tail) == 0 {
		return fmt.Errorf("cannot start %w", err)
	}
	var b strings.Builder
	for _, line := range failure.Tail {
		for _, text := range screen.Render(line) {
			b.WriteString("\n  " + text)
		}
	}
	return fmt.Errorf("cannot start %w; its last lines:%s", err, b.String())
}

// seconds is a duration as it is shown.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
