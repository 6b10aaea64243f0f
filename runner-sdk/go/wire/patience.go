package wire

import "time"

const (
	patience           = 30 * time.Second
	patienceReplicated = 5 * time.Second
)

// Patience is how long a message may go unconfirmed before it counts as lost, while the connection is up: a broker that is up
// confirms in the end. Where streams have replicas, a change of leader may lose one for good.
func Patience(replicated bool) time.Duration {
	if replicated {
		return patienceReplicated
	}
	return patience
}
