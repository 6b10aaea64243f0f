package run

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/konstellation-io/kre/krt/manifest"
)

// todo is what saved files still ask for. What could not be done stays until a later save makes it possible.
type todo struct {
	plan   bool // the manifest or what it is checked against
	protos bool
	values bool
	python bool
	golang bool
}

func (t todo) nothing() bool { return t == todo{} }

// stuck is how long a reload is left alone when something else is saved meanwhile: long enough for any that works, so
// that a stream of saves cannot keep one from ever being done.
const stuck = 3 * time.Second

// reloadUntil reloads what is saved, until ctx is cancelled. What is saved while a reload is under way waits for its end,
// or ends it where it does not come to one.
func (s *session) reloadUntil(ctx context.Context) {
	var open todo
	var since time.Time
	cancel, done := func() {}, make(chan struct{})
	close(done) // none is under way
	for {
		select {
		case <-ctx.Done():
			cancel()
			<-done
			return
		case changed := <-s.watcher.Changes():
			select {
			case <-done:
			case <-time.After(stuck - time.Since(since)):
				cancel()
				<-done
			case <-ctx.Done():
				continue
			}
			if !s.note(&open, changed) {
				continue
			}
			cancel()
			since = time.Now()
			var reloadCtx context.Context
			reloadCtx, cancel = context.WithCancel(ctx)
			done = make(chan struct{})
			go func() {
				defer close(done)
				s.reload(reloadCtx, &open, since)
			}()
		}
	}
}

// note adds to what is open what saved files ask for; false when that is nothing and nothing was open before.
func (s *session) note(open *todo, changed []string) bool {
	changed = slices.DeleteFunc(changed, func(file string) bool {
		return s.programs.isGenerated(file) || s.output.holds(s.source.root, file)
	})
	project := s.current.layout(s.valueFiles())
	if busy := s.output.busy(project.decide(changed).data, time.Now()); len(busy) > 0 {
		s.screen.Warn("", "%s changes all the time and is no longer watched", strings.Join(busy, ", "))
	}
	changed = slices.DeleteFunc(changed, s.output.unwatched)
	e := project.decide(changed)
	open.plan = open.plan || e.manifest
	open.protos = open.protos || e.protos
	open.values = open.values || e.values
	open.python = open.python || e.requirements
	open.golang = open.golang || e.golang
	for _, file := range changed {
		if strings.HasSuffix(file, ".py") {
			s.dropBytecode(file)
		}
	}
	for _, key := range e.restart {
		s.restarts[key]++
	}
	// A broken manifest may have been broken by a file that is missing, wherever that is put.
	return len(e.restart) > 0 || !open.nothing()
}

// valueFiles are the files of values as the watcher tells them.
func (s *session) valueFiles() []string {
	files := s.given.watched()
	for i, file := range files {
		if rel, err := filepath.Rel(s.source.root, file); err == nil && filepath.IsLocal(rel) {
			files[i] = filepath.ToSlash(rel)
		}
	}
	return files
}

// dropBytecode removes what Python has compiled from a file. It goes by the second of the file's last change and its
// size, so that two saves within a second can look the same to it.
func (s *session) dropBytecode(file string) {
	path := filepath.Join(s.source.root, filepath.FromSlash(file))
	stem := strings.TrimSuffix(filepath.Base(path), ".py")
	compiled, err := filepath.Glob(filepath.Join(filepath.Dir(path), "__pycache__", stem+".*.pyc"))
	if err != nil {
		return // a name with brackets; it cannot be imported either
	}
	for _, one := range compiled {
		_ = os.Remove(one) // then it is stale for as long as it is
	}
}

// reload does what is open and replaces what differs afterwards. What goes wrong is shown, and what ran goes on.
func (s *session) reload(ctx context.Context, open *todo, since time.Time) {
	next, err := s.replan(ctx, open)
	if err != nil {
		s.notReloaded(ctx, "", err)
		return
	}
	old := s.current
	s.current = next
	s.announce()
	failed := s.remake(ctx, open, old)
	if ctx.Err() != nil {
		return
	}
	var group errgroup.Group
	for _, n := range next.nodes {
		if failed[n.key] {
			continue
		}
		group.Go(func() error {
			if err := s.replaceNode(ctx, n, since); err != nil {
				s.notReloaded(ctx, n.key, err)
				return err
			}
			return nil
		})
	}
	err = group.Wait()
	s.dropNodes(next)
	if entryErr := s.replaceEntrypoint(ctx, since); entryErr != nil {
		s.notReloaded(ctx, entrypointKey, entryErr)
		err = entryErr
	}
	if err == nil && len(failed) == 0 && old.prepared.GetVersion() != next.prepared.GetVersion() {
		if err := s.api.remove(ctx, old.prepared.GetVersion()); err != nil {
			s.notReloaded(ctx, "", err)
		}
	}
}

// notReloaded shows why something goes on as it was. A reload that a newer save has ended says nothing.
func (s *session) notReloaded(ctx context.Context, who string, err error) {
	if ctx.Err() != nil {
		return
	}
	text := err.Error()
	var problems manifest.Problems
	if errors.As(err, &problems) {
		text = fmt.Sprintf("%s is not right:\n%s", s.current.file, text)
	}
	text = strings.TrimPrefix(text, who+" ")
	s.screen.Fail(who, "not reloaded: %s", text)
	s.screen.Say(who, "what ran before goes on; save again")
}

// replan reads the manifest, values and protos again where that is open, and has the broker's side follow.
func (s *session) replan(ctx context.Context, open *todo) (plan, error) {
	next := s.current
	if !open.plan && !open.protos && !open.values {
		return next, nil
	}
	next, err := s.source.plan(s.given)
	if err != nil {
		open.plan = true // any file may be what was missing
		return plan{}, err
	}
	for _, warning := range next.warnings {
		if !slices.Contains(s.current.warnings, warning) {
			s.screen.Warn("", "%s", warning)
		}
	}
	next.prepared = s.current.prepared
	if open.protos || next.manifest.Proto != s.current.manifest.Proto {
		if err := s.programs.generate(ctx, next); err != nil {
			return plan{}, err
		}
		s.restarts[entrypointKey]++
		for _, n := range next.nodes {
			if n.Python() || n.Worker() && n.source == "" { // a script may read them
				s.restarts[n.key]++
			}
		}
		open.golang = true
		open.protos = false
	}
	if open.plan {
		if err := s.api.prepare(ctx, &next, s.attempts); err != nil {
			return plan{}, err
		}
		open.python, open.golang = true, true // there may be new nodes
	}
	open.plan, open.values = false, false
	return next, nil
}

// remake makes environments and executables again where that is open. It answers the nodes for which it failed.
func (s *session) remake(ctx context.Context, open *todo, old plan) map[string]bool {
	var mu sync.Mutex
	failed := make(map[string]bool)
	var group errgroup.Group
	for _, n := range s.current.nodes {
		_, known := s.programs.of(n)
		moved := !slices.ContainsFunc(old.nodes, func(o node) bool { return o.key == n.key && o.Src == n.Src })
		asked := open.golang
		if n.Python() {
			asked = open.python
		}
		if known && !moved && !asked {
			continue
		}
		group.Go(func() error {
			err := s.programs.make(ctx, n)
			if err != nil {
				mu.Lock()
				failed[n.key] = true
				mu.Unlock()
				s.notReloaded(ctx, n.key, err)
			}
			return err
		})
	}
	if group.Wait() == nil {
		open.python, open.golang = false, false
	}
	return failed
}

// replaceNode starts a node anew if it differs from what runs, and ends the old one when the new one is ready.
func (s *session) replaceNode(ctx context.Context, n node, since time.Time) error {
	s.mu.Lock()
	old := s.nodes[n.key]
	next, err := s.newNode(n)
	s.mu.Unlock()
	if err != nil {
		return err
	}
	if old != nil && old.print == next.print {
		return nil
	}
	if old != nil && old.worker && old.base == next.base {
		err := old.replaceWorkers(ctx)
		if err == nil {
			s.mu.Lock()
			old.print = next.print
			s.mu.Unlock()
			s.screen.Say(n.key, "reloaded %s", seconds(time.Since(since)))
		}
		if !errors.Is(err, errNoWorker) {
			return err
		}
	}
	next.start(s.super)
	if err := next.waitReady(ctx); err != nil {
		next.stop(0)
		next.wait()
		return err
	}
	s.mu.Lock()
	s.nodes[n.key] = next
	s.leave(old)
	s.mu.Unlock()
	if old == nil {
		s.screen.Say(n.key, "ready %s", seconds(time.Since(since)))
		return nil
	}
	old.waitIdle()
	s.screen.Say(n.key, "reloaded %s", seconds(time.Since(since)))
	return nil
}

// finish is how long a replaced node may go on with a message that it has begun.
const finish = 30 * time.Second

// leave has a part end in its own time. The caller holds the lock.
func (s *session) leave(p *part) {
	s.leaving = slices.DeleteFunc(s.leaving, func(one *part) bool { return one.ended() })
	if p != nil {
		p.stop(finish)
		s.leaving = append(s.leaving, p)
	}
}

// dropNodes ends the nodes that a new plan no longer has.
func (s *session) dropNodes(next plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, p := range s.nodes {
		if !slices.ContainsFunc(next.nodes, func(n node) bool { return n.key == key }) {
			delete(s.nodes, key)
			s.leave(p)
			s.screen.Say(key, "ended: the manifest no longer has it")
		}
	}
}

// replaceEntrypoint does for the entrypoint what replaceNode does for a node, but ends the old one first: both need
// the same ports.
func (s *session) replaceEntrypoint(ctx context.Context, since time.Time) error {
	s.mu.Lock()
	next, err := s.newEntrypoint()
	s.mu.Unlock()
	if err != nil || next.print == s.entrypoint.print {
		return err
	}
	s.entrypoint.stop(entrypointGrace)
	s.entrypoint.wait()
	s.entrypoint = next
	next.start(s.super)
	if err := next.waitReady(ctx); err != nil {
		next.print = "" // the next reload tries again
		return err
	}
	s.screen.Say(entrypointKey, "reloaded %s", seconds(time.Since(since)))
	return nil
}
