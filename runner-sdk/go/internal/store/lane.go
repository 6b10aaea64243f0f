package store

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/konstellation-io/kre/runner-sdk/go/internal/broker"
	"github.com/konstellation-io/kre/runner-sdk/go/wire/inorder"
)

const (
	lookEach = 250 * time.Millisecond

	sayAfter = 5 * time.Second // without a confirmation

	// How many messages are unconfirmed at a time follows how long confirmations take.
	firstWindow = 1024
	leastWindow = 16
	mostWindow  = 8192
	fast        = 500 * time.Millisecond
	slow        = 3 * time.Second
	narrowEach  = time.Second
)

// sending is a record on its way. Its lane's lock guards it.
type sending struct {
	record   Record
	answered chan struct{} // closed with the answer that ends it
	outcome  Outcome
	err      error

	number    int // among all sendings of the lane: its place in the queue
	times     int // it was sent
	place     inorder.Place[*sending]
	forgotten bool // nobody waits for it any more
}

// lane is what is on its way to one stream.
type lane struct {
	store *Store

	mu       sync.Mutex
	next     int
	queue    []*sending // to be sent, in order
	under    inorder.Order[*sending]
	window   int
	narrowed time.Time
}

func (l *lane) add(all []*sending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range all {
		l.next++
		one.number = l.next
	}
	l.queue = append(l.queue, all...)
	l.push()
}

// again sends once more what was refused.
func (l *lane) again(one *sending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one.answered = make(chan struct{})
	l.back(one)
	l.push()
}

// forget says that nobody waits for these any more.
func (l *lane) forget(some []*sending) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, one := range some {
		l.under.Forget(&one.place)
		one.forgotten = true
	}
	l.push()
}

// result is the answer to what has been answered.
func (l *lane) result(one *sending) (Outcome, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	one.outcome.Repeated = one.times > 1
	return one.outcome, one.err
}

// resume goes on after the connection was made again.
func (l *lane) resume() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.push()
}

// push sends what may be sent. The lock is held.
func (l *lane) push() {
	for len(l.queue) > 0 && l.under.Len() < l.window {
		one := l.queue[0]
		if one.forgotten {
			l.queue = l.queue[1:]
			continue
		}
		try := one.times + 1
		err := l.store.send(one.record.message(), func(answer *nats.Msg) { l.answer(one, try, answer) })
		if err != nil && err != broker.ErrTooLarge { //nolint:errorlint // it is never wrapped
			return // the connection is away: resume goes on
		}
		l.queue = l.queue[1:]
		one.times = try
		if err != nil {
			l.end(one, Outcome{}, err)
			continue
		}
		l.under.Sent(&one.place, one)
	}
	if len(l.queue) == 0 {
		l.queue = nil // and not what it held before
	}
}

// answer takes what the broker says to the try-th sending of one; nil says that the connection was lost.
func (l *lane) answer(one *sending, try int, answer *nats.Msg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !one.place.Under() || one.times != try {
		return // it was sent again, or given up
	}
	switch {
	case answer == nil:
		l.lost(l.under.All()) // with it, everything else
	case broker.NoResponders(answer):
		l.end(one, Outcome{}, broker.ErrNoResponders)
	default:
		outcome, err := read(answer)
		if err == nil {
			l.pace(one)
			l.lost(l.under.Confirmed(&one.place))
		}
		l.end(one, outcome, err)
	}
	l.push()
}

// end gives one its answer.
func (l *lane) end(one *sending, outcome Outcome, err error) {
	l.under.Forget(&one.place)
	one.outcome, one.err = outcome, err
	close(one.answered)
}

// lost puts what is no longer under way back into the queue.
func (l *lane) lost(some []*sending) {
	for _, one := range some {
		l.back(one)
	}
}

// back puts one into the queue at its place.
func (l *lane) back(one *sending) {
	at, _ := slices.BinarySearchFunc(l.queue, one.number, func(other *sending, number int) int { return cmp.Compare(other.number, number) })
	l.queue = slices.Insert(l.queue, at, one)
}

// pace narrows the window when confirmations come slowly, and widens it when they come fast.
func (l *lane) pace(one *sending) {
	now := time.Now()
	switch took := now.Sub(one.place.At); {
	case took < fast:
		l.window = min(mostWindow, l.window+1)
	case took > slow && now.Sub(l.narrowed) > narrowEach:
		l.window, l.narrowed = max(leastWindow, l.window/2), now
	}
}

// look takes for lost what has waited too long for its confirmation.
func (l *lane) look(now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if late := l.under.Before(now.Add(-l.store.patience())); len(late) > 0 {
		l.window, l.narrowed = max(leastWindow, l.window/2), now
		l.lost(late)
	}
	l.push()
	if oldest := l.under.Oldest(); oldest != nil && now.Sub(oldest.At) > sayAfter {
		l.store.complain(oldest.What.record, "the broker has not confirmed it for "+now.Sub(oldest.At).Round(time.Second).String())
	}
}
