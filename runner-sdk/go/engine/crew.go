package engine

import "sync"

// crew runs functions in goroutines of their own, which stay for the next ones: the stack of a fresh goroutine has to grow first,
// each time.
type crew struct {
	jobs  chan func() // received by who has nothing to do
	over  chan struct{}
	under sync.WaitGroup
}

func newCrew() *crew { return &crew{jobs: make(chan func()), over: make(chan struct{})} }

// Go runs f beside whatever else runs.
func (c *crew) Go(f func()) {
	c.under.Add(1)
	select {
	case c.jobs <- f:
	default:
		go c.work(f)
	}
}

func (c *crew) work(f func()) {
	for {
		f()
		c.under.Done()
		select {
		case f = <-c.jobs:
		case <-c.over:
			return
		}
	}
}

// Wait waits until nothing runs.
func (c *crew) Wait() { c.under.Wait() }

// End lets go of the goroutines that have nothing to do. It is called once; what comes after it is run all the same.
func (c *crew) End() { close(c.over) }
