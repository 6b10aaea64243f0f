package up

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/errgroup"

	"github.com/konstellation-io/kre/cli/internal/ports"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/cli/internal/secrets"
	"github.com/konstellation-io/kre/kit/proc"
)

// engine is one `kre up`.
type engine struct {
	settings
	data     *data
	screen   *screen.Screen
	observer *observer
	super    *proc.Supervisor
	secrets  *secrets.Secrets
	ports    kept
	stores   *stores
	manager  *service
	admin    *service
}

// run brings everything up and ends it in order once ctx is cancelled.
func run(ctx context.Context, s settings) (err error) {
	began := time.Now()
	d, err := openData(ctx, s.data)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.close()) }()
	if err := d.removeState(); err != nil { // a killed one has left it
		return err
	}
	e := &engine{settings: s, data: d, screen: screen.New(screen.Options{Out: s.console.Out, Color: s.console.Color()})}
	e.screen.Names("nats", "documents", "objects", "k8s-manager", "admin-api")
	if e.observer, err = newObserver(e.screen, s.verbose, d.path("logs")); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.observer.close()) }()
	if s.guard != nil {
		// As long as it has not killed what a killed kre left, nobody else uses the folder.
		s.guard.ExtraFiles = append(s.guard.ExtraFiles, d.lock)
	}
	e.super = proc.New(proc.Options{Observer: e.observer, Guard: s.guard})
	stopForcing := e.endAtOnceWhenAsked()
	defer func() {
		ended := e.end()
		if stopForcing() {
			ended = errors.Join(ended, context.Canceled)
		}
		err = errors.Join(err, ended)
	}()

	if err := e.start(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		return e.startFailed(err)
	}
	if err := e.announce(ctx, time.Since(began)); err != nil {
		return err
	}
	<-ctx.Done()
	e.screen.Say("", "stopping; Ctrl-C again stops at once")
	return nil
}

// endAtOnceWhenAsked kills everything when somebody does not want to wait any longer. The function ends that, and tells
// whether it was so.
func (e *engine) endAtOnceWhenAsked() (stop func() bool) {
	over, watched := make(chan struct{}), make(chan struct{})
	forced := false
	go func() {
		defer close(watched)
		select {
		case <-e.again:
			forced = true
			e.super.KillAll()
		case <-over:
		}
	}()
	return func() bool {
		close(over)
		<-watched
		return forced
	}
}

// start brings everything up, as much at the same time as can be.
func (e *engine) start(ctx context.Context) (err error) {
	if e.secrets, err = secrets.Open(e.data.path("secrets")); err != nil {
		return err
	}
	e.ports = e.data.keptPorts()
	group, groupCtx := errgroup.WithContext(ctx)
	group.Go(func() error { return e.secrets.MakeKeyset(groupCtx, filepath.Join(e.libexec, "admin-api")) })
	group.Go(func() error { return e.choosePorts(groupCtx) })
	group.Go(func() (err error) {
		log := zap.New(&reporter{screen: e.screen})
		warn := func(text string) { e.screen.Warn("nats", "%s", text) }
		e.stores, err = openStores(groupCtx, e.settings, e.data, &e.ports, e.secrets, log, warn, e.tell)
		return err
	})
	if err := group.Wait(); err != nil {
		return err
	}
	// Before anything is started: what survives finds the same ports the next time.
	if err := e.data.write("ports.json", e.ports); err != nil {
		return explain("keep the ports", err)
	}
	services := newServices(e.settings, e.super, e.data, e.secrets)
	e.manager = services.manager(e.data, &e.ports, e.stores)
	e.admin = services.admin(&e.ports, e.stores, e.secrets)
	group, groupCtx = errgroup.WithContext(ctx)
	for _, start := range []struct {
		service *service
		ports   []port
	}{
		{e.manager, []port{{"KRE_GRPC_ADDR", &e.ports.Manager}}},
		{e.admin, []port{{"KRE_GRPC_ADDR", &e.ports.GRPC}, {"KRE_HTTP_ADDR", &e.ports.HTTP}}},
	} {
		group.Go(func() error {
			began := time.Now()
			if err := services.start(groupCtx, start.service, start.ports...); err != nil {
				return err
			}
			e.tell(start.service.name, start.service.env["KRE_GRPC_ADDR"], time.Since(began))
			return nil
		})
	}
	return group.Wait()
}

// choosePorts chooses those of the services.
func (e *engine) choosePorts(ctx context.Context) error {
	for _, one := range []struct {
		wanted int
		port   *int
	}{{e.http, &e.ports.HTTP}, {e.grpc, &e.ports.GRPC}} {
		if one.wanted != 0 {
			*one.port = one.wanted
		}
		if err := again(ctx, one.port); err != nil {
			return err
		}
		if one.wanted != 0 && one.wanted != *one.port {
			e.screen.Warn("", "port %d is taken: %d instead", one.wanted, *one.port)
		}
	}
	for _, one := range []struct {
		wanted int
		port   *int
	}{{e.firstGRPC, &e.ports.FirstGRPC}, {e.firstHTTP, &e.ports.FirstHTTP}} {
		switch {
		case one.wanted != 0:
			*one.port = one.wanted
		case *one.port == 0:
			var err error
			if *one.port, err = ports.Pick(0); err != nil {
				return err
			}
		}
	}
	return again(ctx, &e.ports.Manager)
}

// end ends everything in order.
func (e *engine) end() error {
	e.observer.hush()
	err := e.data.removeState()
	e.admin.stop(adminGrace)
	e.manager.stop(managerGrace)
	err = errors.Join(err, e.sweep())
	e.super.Close()
	return errors.Join(err, e.stores.close())
}

// startFailed is the error of a start. What the culprit printed last is shown with it.
func (e *engine) startFailed(err error) error {
	var failure *proc.Failure
	if !errors.As(err, &failure) {
		return err
	}
	text := fmt.Sprintf("cannot start %s: it %s", failure.Name, failure.Reason)
	if failure.Cause != nil {
		text = failure.Error()
	}
	if len(failure.Tail) == 0 {
		return errors.New(text)
	}
	var b strings.Builder
	b.WriteString(text + "; its last lines:")
	for _, line := range failure.Tail {
		for _, shown := range screen.Render(line) {
			b.WriteString("\n  " + shown)
		}
	}
	return errors.New(b.String())
}

// writeHere shortens a path for people.
func shorten(path string) string {
	home, err := os.UserHomeDir()
	if err != nil {
		return path
	}
	if below, ok := strings.CutPrefix(path, home+string(filepath.Separator)); ok {
		return filepath.Join("~", below)
	}
	return path
}

// seconds is a duration as it is shown.
func seconds(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
