package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/cli/internal/run/watch"
	"github.com/konstellation-io/kre/embedded/broker"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/proc"
)

// session is one `kre run`.
type session struct {
	settings
	screen   *screen.Screen
	observer *observer
	dir      string // of this run alone
	super    *proc.Supervisor
	source   source
	watcher  *watch.Watcher // nil: nothing is watched
	broker   *broker.Broker
	lock     *os.File // of the folder for messages
	api      *api
	grpc     int
	http     int
	programs *programs
	current  plan
	output   *outputs

	mu         sync.Mutex
	entrypoint *part
	nodes      map[string]*part // by key
	leaving    []*part          // replaced, and perhaps still finishing a message
	restarts   map[string]int   // how often a saved file asked for a restart, by node
	folders    int              // of processes, made so far
}

// runVersion runs the version from its first start to its end.
func runVersion(ctx context.Context, settings settings) (err error) {
	began := time.Now()
	dir, err := newRunDir(cacheDir())
	if err != nil {
		return fmt.Errorf("cannot make a folder for this run: %w", err)
	}
	defer func() { err = errors.Join(err, dir.remove()) }()

	s := &session{
		settings: settings, dir: dir.path, observer: newObserver(settings.verbose, settings.json), output: newOutputs(),
		nodes: make(map[string]*part), restarts: make(map[string]int),
	}
	s.screen = screen.New(screen.Options{Out: s.out, Color: s.color, JSON: s.json, Attempts: s.observer.attempts})
	s.observer.screen = s.screen
	s.super = proc.New(proc.Options{Observer: s.observer, Guard: settings.guard})
	over, watched := make(chan struct{}), make(chan struct{})
	forced := false
	defer func() {
		close(over)
		<-watched
		if forced {
			err = errors.Join(err, context.Canceled)
		}
	}()
	defer s.end()
	go func() {
		defer close(watched)
		select {
		case <-settings.again:
			forced = true
			s.super.KillAll()
		case <-over:
		}
	}()

	if err := s.start(ctx); err != nil {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		s.end() // so that the reason is the last thing on the screen
		return s.startFailed(err)
	}
	state := State{GRPC: ports.Address(ports.Loopback, s.grpc), HTTP: ports.Address(ports.Loopback, s.http), NATS: s.broker.URL(), PID: os.Getpid()}
	if err := state.write(s.source.state); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, state.remove(s.source.state)) }()
	s.sayReady(ctx, time.Since(began))
	if s.watcher != nil {
		s.reloadUntil(ctx)
	}
	<-ctx.Done()
	return nil
}

// start brings everything up, as much at the same time as can be.
func (s *session) start(ctx context.Context) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	var err error
	if s.current, err = s.source.plan(s.given); err != nil {
		return err
	}
	s.announce()
	for _, warning := range s.current.warnings {
		s.screen.Warn(s.current.file, "%s", warning)
	}
	if err := s.choosePorts(); err != nil {
		return err
	}

	current := s.current // which serve completes meanwhile
	// The broker's side, the code of the protos and the programs of the nodes have nothing to do with each other.
	group, groupCtx := errgroup.WithContext(ctx)
	served := inBackground(group, func() error { return s.serve(groupCtx) })
	generated := inBackground(group, func() error { return s.programs.generate(groupCtx, current) })
	group.Go(func() error {
		if err := served(); err != nil {
			return err
		}
		return s.startEntrypoint(groupCtx)
	})
	waiting := newWaiting(current.nodes)
	stopTelling := waiting.tell(s.screen)
	defer stopTelling()
	for _, n := range current.nodes {
		group.Go(func() error {
			if n.source != "" { // it is compiled with that code
				if err := generated(); err != nil {
					return err
				}
			}
			if err := s.programs.make(groupCtx, n); err != nil {
				return fmt.Errorf("cannot start %s: %w", n.key, err)
			}
			if err := errors.Join(served(), generated()); err != nil {
				return err
			}
			if err := s.startNode(groupCtx, n); err != nil {
				return err
			}
			waiting.ready(n.key)
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	return nil
}

// inBackground runs work in the group; the function waits for its end and returns its error to any number of callers.
func inBackground(group *errgroup.Group, work func() error) func() error {
	result := make(chan error, 1)
	group.Go(func() error {
		err := work()
		result <- err
		return err
	})
	return sync.OnceValue(func() error { return <-result })
}

// open finds the project or unpacks the package, and begins to watch it.
func (s *session) open(ctx context.Context) error {
	var err error
	if s.source, err = openSource(ctx, s.target, s.dir); err != nil {
		return err
	}
	switch {
	case s.given.envFile != "":
		s.given.named = true
	case !s.source.packed:
		s.given.envFile = filepath.Join(s.source.root, envFileName)
	}
	if err := forgetDead(s.source.state); err != nil {
		return err
	}
	s.programs = newPrograms(s.source, s.screen, s.libexec, s.race)
	if !s.watch || s.source.packed {
		return nil
	}
	s.watcher, err = watch.New(watch.Options{Root: s.source.root, Ignore: unwatched, Also: s.given.watched()})
	return err
}

// announce tells screen and observer who is going to speak.
func (s *session) announce() {
	var names []string
	for _, n := range s.current.nodes {
		for _, name := range n.processes(s.replicas) {
			names = append(names, name)
			s.observer.expect(name, n.Name, n.attempts(s.attempts))
		}
	}
	s.screen.Names(names...)
	s.screen.Names(startColumn, readyColumn, tryColumn)
}

// startFailed is the error of a first start. What the culprit printed last is shown again: other lines came after it.
func (s *session) startFailed(err error) error {
	var failure *proc.Failure
	if !errors.As(err, &failure) {
		return err
	}
	text := fmt.Sprintf("cannot start %s: it %s", failure.Name, failure.Reason)
	if failure.Cause != nil {
		text = failure.Error()
	}
	if len(failure.Tail) == 0 {
		return &startError{text: text, cause: err}
	}
	var b strings.Builder
	b.WriteString(text + "; its last lines:")
	for _, line := range failure.Tail {
		for _, shown := range screen.Render(line) {
			b.WriteString("\n  " + shown)
		}
	}
	return &startError{text: b.String(), cause: err}
}

// startError tells a failure of a process at length.
type startError struct {
	text  string
	cause error
}

// Error is the whole story.
func (e *startError) Error() string { return e.text }

// Unwrap is the failure.
func (e *startError) Unwrap() error { return e.cause }

// How long each may take to end: first the entrypoint, which lets callers have their answers, then nodes, which finish
// what they run.
const (
	entrypointGrace = 3 * time.Second
	nodeGrace       = 5 * time.Second
	apiGrace        = 2 * time.Second
)

// end ends everything in order; doing it twice does no harm.
func (s *session) end() {
	s.observer.hush()
	if s.watcher != nil {
		_ = s.watcher.Close() // nobody listens any more
		s.watcher = nil
	}
	s.entrypoint.stop(entrypointGrace)
	s.entrypoint.wait()
	all := s.leaving
	for _, p := range s.nodes {
		all = append(all, p)
	}
	for _, p := range all {
		p.stop(nodeGrace)
	}
	for _, p := range all {
		p.wait()
	}
	if s.api != nil {
		s.api.stop(apiGrace)
		s.api = nil
	}
	s.super.Close()
	if s.broker != nil {
		s.broker.Stop()
		s.broker = nil
	}
	if s.lock != nil {
		_ = s.lock.Close() // closing unlocks
		s.lock = nil
	}
}

// serve starts the broker and runtime-api, and has the version prepared.
func (s *session) serve(ctx context.Context) error {
	store := filepath.Join(s.dir, "nats")
	if s.data != "" {
		store = s.data
	}
	if err := os.MkdirAll(store, 0o700); err != nil {
		return fmt.Errorf("cannot make the folder for messages: %w", err)
	}
	lock, err := lockIn(store)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%s is used by another kre run", store)
	}
	if err != nil {
		return fmt.Errorf("cannot keep messages: %w", err)
	}
	s.lock = lock
	warn := func(text string) { s.screen.Warn("nats", "%s", text) }
	if s.broker, err = broker.Start(ctx, broker.Options{StoreDir: store, Warn: warn}); err != nil {
		return err
	}
	if s.api, err = s.startAPI(ctx); err != nil {
		return err
	}
	return s.api.prepare(ctx, &s.current, s.attempts)
}

func (s *session) choosePorts() error {
	for _, port := range []struct {
		wanted int
		got    *int
	}{{s.grpcPort, &s.grpc}, {s.httpPort, &s.http}} {
		*port.got = port.wanted
		if port.wanted != 0 && ports.Free(ports.Loopback, port.wanted) {
			continue
		}
		var err error
		if *port.got, err = ports.Pick(func(picked int) bool { return picked != s.grpc }); err != nil {
			return err
		}
		if port.wanted != 0 {
			s.screen.Warn("", "port %d is taken: %d instead", port.wanted, *port.got)
		}
	}
	return nil
}

// seconds is a duration as it is shown.
func seconds(d time.Duration) string { return fmt.Sprintf("%.1f s", d.Seconds()) }
