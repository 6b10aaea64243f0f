package progress

import (
	"sync"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

const (
	// each is how often the nodes of a workflow are asked at most.
	each = 100 * time.Millisecond
	// patience is how long a caller, whose wait is over, is kept for what they say.
	patience = 250 * time.Millisecond
)

// Surveys asks the processes of a workflow's nodes about requests whose callers' wait is over: about many at a time, and not too
// often, so that it costs little where there are many of them.
type Surveys struct {
	ask func(requestIDs []string) []wire.Progress

	mu   sync.Mutex
	next *survey // what gathers for the next one; nil: nothing
	busy bool    // one is under way, or waits for its time
	last time.Time
}

type survey struct {
	requestIDs []string
	done       chan struct{}
	said       []wire.Progress // once it is done
}

// NewSurveys returns surveys that ask as ask does, which waits until everybody has answered who will.
func NewSurveys(ask func(requestIDs []string) []wire.Progress) *Surveys { return &Surveys{ask: ask} }

// About returns what is said of a request, nothing if nobody says anything in time.
func (s *Surveys) About(requestID string) []wire.Progress {
	joined := s.join(requestID)
	if joined == nil {
		return nil
	}
	select {
	case <-joined.done:
		return joined.said
	case <-time.After(patience):
		return nil
	}
}

// join adds a request to what is asked next; nil if that is full.
func (s *Surveys) join(requestID string) *survey {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.next == nil {
		s.next = &survey{done: make(chan struct{})}
	}
	if len(s.next.requestIDs) == wire.MaxAsked {
		return nil
	}
	s.next.requestIDs = append(s.next.requestIDs, requestID)
	if !s.busy {
		s.busy = true
		go s.run()
	}
	return s.next
}

// run asks until there is nothing more to ask.
func (s *Surveys) run() {
	for {
		s.mu.Lock()
		wait := time.Until(s.last.Add(each))
		if s.next == nil {
			s.busy = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		time.Sleep(wait)
		s.mu.Lock()
		now := s.next
		s.next, s.last = nil, time.Now()
		s.mu.Unlock()
		now.said = s.ask(now.requestIDs)
		close(now.done)
	}
}
