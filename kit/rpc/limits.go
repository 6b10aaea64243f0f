package rpc

import (
	"context"
	"sync"

	"google.golang.org/grpc/peer"

	"github.com/konstellation-io/kre/kit/budget"
)

const (
	defaultMaxCalls   = 1000
	defaultMaxStreams = 1000
	defaultBudget     = 64 << 20
	// maxProbes is how many streams may be open whose callers nobody asks who they are.
	maxProbes = 100
	// maxProbeBytes bounds what such a caller may send.
	maxProbeBytes = 4 << 10
	// maxHeaderBytes bounds the header of a call.
	maxHeaderBytes = 16 << 10
)

// open counts what is open, all in all and by connection.
type open struct {
	most, mostOfOne int // mostOfOne 0: as many as most
	what, advice    string

	mu    sync.Mutex
	all   int
	ofOne map[string]int
}

// enter counts one more, or refuses it. What it returns is called when that ends.
func (o *open) enter(ctx context.Context) (leave func(), err error) {
	from := ""
	if o.mostOfOne > 0 {
		// Those within the process are of many callers.
		if caller, ok := peer.FromContext(ctx); ok && caller.Addr != nil && caller.Addr.Network() != localNetwork {
			from = caller.Addr.String()
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.all >= o.most {
		return nil, budget.Busy("there are %d %s, as many as may be at once; %s", o.all, o.what, o.advice)
	}
	if from != "" && o.ofOne[from] >= o.mostOfOne {
		return nil, budget.Busy("there are %d %s on this connection, as many as one may have; %s", o.mostOfOne, o.what, o.advice)
	}
	o.all++
	if from != "" {
		if o.ofOne == nil {
			o.ofOne = make(map[string]int)
		}
		o.ofOne[from]++
	}
	return func() { o.leave(from) }, nil
}

func (o *open) leave(from string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all--
	if from == "" {
		return
	}
	if o.ofOne[from]--; o.ofOne[from] == 0 {
		delete(o.ofOne, from)
	}
}
