package engine

import "time"

// Observer is told what a node does while it does it, so that somebody can count. Any goroutine may call its methods; they
// must not wait.
type Observer interface {
	// Attempt says that a handler has returned, after spent in it, and whether the attempt failed.
	Attempt(spent time.Duration, failed bool)
	// DeadLetter says that a message was put aside.
	DeadLetter()
	// Expired says that n messages were not run because nobody waits for them any more.
	Expired(n int)
	// Waiting says how many messages are stored for the node and not handled yet, as far as it knows, and for how long the
	// oldest of them has been.
	Waiting(messages int64, oldest time.Duration)
}

// nobody is the observer of a node that nobody looks at.
type nobody struct{}

func (nobody) Attempt(time.Duration, bool)  {}
func (nobody) DeadLetter()                  {}
func (nobody) Expired(int)                  {}
func (nobody) Waiting(int64, time.Duration) {}

// orNobody makes an observer of one that may be nil.
func orNobody(o Observer) Observer {
	if o == nil {
		return nobody{}
	}
	return o
}
