package boot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/telemetry"
)

// Process is what a running program is handed: its logger, and the two moments that the outside cares about.
type Process struct {
	Logger    *zap.Logger
	Telemetry telemetry.Telemetry // for rpc.Options, rpc.ClientOptions and whatever else counts or traces

	mu        sync.Mutex
	readyFile string
	ready     bool
	stopping  bool
	stops     []stopper
}

type stopper struct {
	name  string
	limit time.Duration
	stop  func(ctx context.Context) error
}

// OnStop registers how something that was opened is closed. When Run has returned, whatever it returned, the functions
// are called in the reverse order of their registration, one after the other, each with a context that ends after
// limit. An error is logged and hinders nothing.
func (p *Process) OnStop(name string, limit time.Duration, stop func(ctx context.Context) error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stops = append(p.stops, stopper{name: name, limit: limit, stop: stop})
}

// Ready tells the outside that the program serves: it writes the ready file, if there is one, which is removed as soon
// as the program begins to stop, and /readyz answers 200 until then. Once the program stops, Ready does nothing.
func (p *Process) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.stopping {
		return nil
	}
	if p.readyFile != "" {
		if err := os.WriteFile(p.readyFile, []byte("ready\n"), 0o644); err != nil {
			return fmt.Errorf("writing the ready file: %w", err)
		}
	}
	p.ready = true
	p.Logger.Info("ready")
	return nil
}

func (p *Process) isReady() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ready && !p.stopping
}

// beginStop makes the program not ready, for good.
func (p *Process) beginStop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopping = true
	p.removeReadyFile()
}

func (p *Process) removeReadyFile() {
	if p.readyFile == "" {
		return
	}
	if err := os.Remove(p.readyFile); err != nil && !errors.Is(err, os.ErrNotExist) {
		p.Logger.Warn("removing the ready file", log.Error(err))
	}
}

func (p *Process) stop() {
	p.beginStop()
	p.mu.Lock()
	stops := p.stops
	p.mu.Unlock()
	for i := len(stops) - 1; i >= 0; i-- {
		p.stopOne(stops[i])
	}
}

func (p *Process) stopOne(s stopper) {
	ctx, cancel := context.WithTimeout(context.Background(), s.limit)
	defer cancel()
	begun := time.Now()
	if err := s.stop(ctx); err != nil {
		p.Logger.Warn("stopping part of the program", zap.String("part", s.name), log.Error(err))
		return
	}
	p.Logger.Debug("stopped", zap.String("part", s.name), zap.Duration("after", time.Since(begun)))
}
