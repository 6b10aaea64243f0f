package engine

import (
	"context"
	"sync/atomic"
)

// underWay counts the attempts that are under way.
type underWay struct {
	count   atomic.Int64
	changed chan struct{} // has one element when the count may have gone down
}

func newUnderWay() *underWay { return &underWay{changed: make(chan struct{}, 1)} }

func (u *underWay) add(n int) {
	u.count.Add(int64(n))
	if n < 0 {
		select {
		case u.changed <- struct{}{}:
		default: // whoever waits will look anyway
		}
	}
}

// below waits until fewer than most() are under way, or ctx ends, and reports whether it is so. One caller waits at a time.
func (u *underWay) below(ctx context.Context, most func() int) bool {
	for {
		count := int(u.count.Load())
		if count == 0 || count < most() {
			return true
		}
		select {
		case <-u.changed:
		case <-ctx.Done():
			return false
		}
	}
}

// none waits until nothing is under way, or ctx ends, and reports whether it is so. One caller waits at a time.
func (u *underWay) none(ctx context.Context) bool {
	return u.below(ctx, func() int { return 1 })
}
