package exchange

import "sync"

// waiting holds the calls that wait for an answer, by request id. It is cut in parts, so that a call's coming and going
// does not hinder the others.
type waiting struct {
	parts [64]part
}

type part struct {
	mu    sync.Mutex
	calls map[string]*Call
}

func newWaiting() *waiting {
	w := &waiting{}
	for i := range w.parts {
		w.parts[i].calls = map[string]*Call{}
	}
	return w
}

// part goes by the last character of a ULID, which is random.
func (w *waiting) part(id string) *part {
	if id == "" {
		return &w.parts[0]
	}
	return &w.parts[int(id[len(id)-1])%len(w.parts)]
}

func (w *waiting) put(id string, call *Call) {
	p := w.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls[id] = call
}

func (w *waiting) get(id string) *Call {
	p := w.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.calls[id]
}

// take returns a call to one asker only, nil to all others.
func (w *waiting) take(id string) *Call {
	p := w.part(id)
	p.mu.Lock()
	defer p.mu.Unlock()
	call := p.calls[id]
	delete(p.calls, id)
	return call
}

func (w *waiting) each(f func(*Call)) {
	for i := range w.parts {
		p := &w.parts[i]
		p.mu.Lock()
		for _, call := range p.calls {
			f(call)
		}
		p.mu.Unlock()
	}
}
