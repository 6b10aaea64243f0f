package engine

import (
	"context"
	"sync"
)

// maxKnown is how many details are remembered: a few MiB.
const maxKnown = 2000

// known remembers details. They never change, and their keys are never used again, so that what is remembered stays true
// whatever other replicas do.
type known struct {
	mu      sync.Mutex
	details map[string]map[Key]Details // by runtime
	count   int
}

// of reads the details of versions of one runtime, and asks the store for those that it does not remember. They are shared:
// nobody changes them.
func (k *known) of(ctx context.Context, store Records, runtime string, keys []Key) (map[Key]Details, error) {
	found := make(map[Key]Details, len(keys))
	var unread []Key
	k.mu.Lock()
	for _, key := range keys {
		if one, there := k.details[runtime][key]; there {
			found[key] = one
		} else {
			unread = append(unread, key)
		}
	}
	k.mu.Unlock()
	if len(unread) == 0 {
		return found, nil
	}
	read, err := store.Details(ctx, runtime, unread)
	if err != nil {
		return nil, storeError(err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, one := range read {
		found[one.Key] = one
		if k.count >= maxKnown || k.details == nil { // what is needed is soon there again
			k.details, k.count = make(map[string]map[Key]Details), 0
		}
		if k.details[runtime] == nil {
			k.details[runtime] = make(map[Key]Details)
		}
		k.details[runtime][one.Key] = one
		k.count++
	}
	return found, nil
}
