package process

import (
	"sync"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/ports"
)

// keeper knows which ports somebody here has kept: one that is not in use now may belong to a version that is stopped.
type keeper struct {
	mu   sync.Mutex
	kept map[int]struct{}
}

func newKeeper() *keeper { return &keeper{kept: make(map[int]struct{})} }

func (k *keeper) keep(numbers ...int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, number := range numbers {
		if number != 0 {
			k.kept[number] = struct{}{}
		}
	}
}

func (k *keeper) giveBack(numbers ...int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, number := range numbers {
		delete(k.kept, number)
	}
}

// pick keeps a free port of the loopback interface.
func (k *keeper) pick() (int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	number, err := ports.Pick(func(number int) bool {
		_, taken := k.kept[number]
		return !taken
	})
	if err != nil {
		return 0, fault.New(fault.Unavailable, "this machine has no free port for another process: %s", err)
	}
	k.kept[number] = struct{}{}
	return number, nil
}

// pickPair keeps the first pair of ports, as far from first as from second, both of which are free.
func (k *keeper) pickPair(host string, first, second int) (int, int, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for ; first <= ports.Last && second <= ports.Last; first, second = first+1, second+1 {
		_, one := k.kept[first]
		_, two := k.kept[second]
		if one || two || !ports.Free(host, first) || !ports.Free(host, second) {
			continue
		}
		k.kept[first], k.kept[second] = struct{}{}, struct{}{}
		return first, second, nil
	}
	return 0, 0, fault.New(fault.Unavailable, "this machine has no free pair of ports for a stable address")
}
