package engine

import (
	"context"
	"time"

	"github.com/konstellation-io/kre/runner-sdk/go/engine/exchange"
)

// Hands run the handlers of a node: in this process, or in another one. Methods are called one at a time, those of
// Attempt and Events may be called by any goroutine.
type Hands interface {
	// Open makes ready for the first attempt, as the author's init does. No body of an output may exceed maxOutput bytes.
	// Ctx ends when the process is told to end, and nothing has to be made ready any more.
	Open(ctx context.Context, maxOutput int, events Events) error
	// Begin takes an attempt over. Attempts are begun in this order. It may return before the handler does.
	Begin(a *Attempt)
	// Room is how many attempts may be under way at a time, as things go: at least 1.
	Room() int
	// Stop has attempts that are under way and not begun given back, and says that no more will come.
	Stop()
	// Close ends what is left when nothing is under way any more, or may not be any longer.
	Close()
}

// Events are told of hands that live in a process of their own.
type Events interface {
	// Down says that no attempt can be begun until Up. Those that are under way end after it.
	Down(reason string)
	// Up says that attempts can be begun again.
	Up()
	// Lost says that they never will be.
	Lost(err error)
}

// Attempt is an attempt at a message, on its way to a handler.
type Attempt struct {
	Exchange *exchange.Exchange
	Context  context.Context // ends when the process can wait no longer
	Deadline time.Time       // when the caller's wait for what the handler does is over; zero: nobody waits for it
	Expires  time.Time       // from when on it is not to be begun, and ends as NotBegun: the caller is asked for first; zero: it always may be

	Began func()       // to be called once, when the handler begins
	Ended func(Ending) // to be called once, in any case
}

// Ending is what became of an attempt.
type Ending struct {
	Err   error
	Where string        // where that happened in the author's code, if that is known
	Stack string        // how it came to it, likewise
	Spent time.Duration // in the handler; 0: since it began
	Fate  Fate
}

// Fate says how far an attempt came.
type Fate int

// The fates.
const (
	Returned Fate = iota // the handler came to its end
	NotBegun             // it was given back: no attempt was made
	Died                 // its process ended while it ran: the handler's doing, for all that is known
)
