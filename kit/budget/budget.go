// Package budget bounds what all that goes on at once may take together, in bytes. Who needs some takes it before, waits a
// moment where there is none left, and is refused then.
package budget

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/konstellation-io/kre/kit/fault"
)

// reason tells a caller's program that it may come back. It is one of those of the admin API, which so need not know where it was
// given.
const reason = "ERROR_REASON_BUSY"

// comeBack is when the same is worth asking again, where nothing else is said.
const comeBack = time.Second

// Busy is the fault by which somebody is refused because too much goes on at once.
func Busy(format string, args ...any) *fault.Error {
	busy := fault.New(fault.Exhausted, format, args...).For(reason)
	busy.RetryAfter = comeBack
	return busy
}

// Patience is how long somebody waits until others have given back.
const Patience = 5 * time.Second

// errClosed is why a share of something that has ended cannot grow.
var errClosed = errors.New("what the memory was for has ended")

// Budget is a number of bytes.
type Budget struct {
	total int64
	left  *semaphore.Weighted
}

// New returns a budget of so many bytes.
func New(total int64) *Budget { return &Budget{total: total, left: semaphore.NewWeighted(total)} }

// Share is what one of those who share a budget holds of it. Its methods may be called at the same time.
type Share struct {
	budget *Budget
	mu     sync.Mutex
	held   int64
	closed bool
}

// Share returns one that holds nothing. A nil budget gives shares that may hold anything.
func (b *Budget) Share() *Share { return &Share{budget: b} }

// Grow takes more, until the share holds as much as it is told; what it holds beyond that it keeps. It waits for others, not
// longer than ctx, and returns a fault where that was in vain.
func (s *Share) Grow(ctx context.Context, to int64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	more := to - s.held
	switch {
	case s.closed:
		return errClosed
	case s.budget == nil || more <= 0:
		return nil
	}
	if to > s.budget.total {
		return fault.New(fault.Exhausted, "it would take %d bytes of memory, and all that goes on at once may take %d; ask for less",
			to, s.budget.total)
	}
	if !s.budget.left.TryAcquire(more) {
		waiting, cancel := context.WithTimeout(ctx, Patience)
		defer cancel()
		if s.budget.left.Acquire(waiting, more) != nil {
			if err := ctx.Err(); err != nil {
				return fmt.Errorf("wait for memory: %w", err)
			}
			return Busy("too much is being read at once, %d bytes at most; try again in a moment", s.budget.total)
		}
	}
	s.held = to
	return nil
}

// Shrink gives back what the share holds beyond so many bytes.
func (s *Share) Shrink(to int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shrink(to)
}

func (s *Share) shrink(to int64) {
	if s.budget == nil || s.held <= to {
		return
	}
	s.budget.left.Release(s.held - to)
	s.held = to
}

// Close gives everything back. Nothing can be taken any more.
func (s *Share) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shrink(0)
	s.closed = true
}

// Most is how many bytes the share could ever hold.
func (s *Share) Most() int64 {
	if s.budget == nil {
		return math.MaxInt64
	}
	return s.budget.total
}

// Held is how many bytes the share holds.
func (s *Share) Held() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.held
}
