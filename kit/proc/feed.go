package proc

import "sync"

// feedLimit and feedBytes are how many lines wait for a slow observer, and how long they are together; changes of state, and
// one line, always find room.
const (
	feedLimit = 10_000
	feedBytes = 8 << 20
)

// feed carries what happens to one process to the observer, in order, without making the process wait.
type feed struct {
	observer Observer
	mu       sync.Mutex
	arrived  sync.Cond
	items    []any // Event or Line
	lines    int
	bytes    int // of the lines
	lost     int
	closed   bool
	drained  chan struct{}
}

func newFeed(observer Observer) *feed {
	f := &feed{observer: observer, drained: make(chan struct{})}
	f.arrived.L = &f.mu
	go f.deliver()
	return f
}

func (f *feed) event(e Event) { f.put(e) }

// line puts a line in the queue; where that is full, the oldest lines make room.
func (f *feed) line(l Line) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for f.lines >= feedLimit || f.lines > 0 && f.bytes+len(l.Text) > feedBytes {
		f.dropOldest()
	}
	f.lines++
	f.bytes += len(l.Text)
	f.items = append(f.items, l)
	f.arrived.Signal()
}

func (f *feed) dropOldest() {
	for i, item := range f.items {
		if line, ok := item.(Line); ok {
			f.lost++
			copy(f.items[1:i+1], f.items[:i])
			f.items[0] = nil
			f.items = f.items[1:]
			f.lines--
			f.bytes -= len(line.Text)
			return
		}
	}
}

func (f *feed) put(item any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.items = append(f.items, item)
	f.arrived.Signal()
}

// close lets the observer be told what still waits; drained is closed after that.
func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	f.arrived.Signal()
}

func (f *feed) deliver() {
	defer close(f.drained)
	for {
		f.mu.Lock()
		for len(f.items) == 0 && !f.closed {
			f.arrived.Wait()
		}
		items := f.items
		lost := f.lost
		f.items, f.lines, f.bytes, f.lost = nil, 0, 0, 0
		f.mu.Unlock()
		if len(items) == 0 {
			return
		}
		for _, item := range items {
			switch item := item.(type) {
			case Event:
				f.observer.Changed(item)
			case Line:
				item.Lost, lost = lost, 0
				f.observer.Printed(item)
			}
		}
	}
}
