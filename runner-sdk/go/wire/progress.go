package wire

// Progress is what one process of a node knows of the requests that it was asked about.
type Progress struct {
	Node    string  `json:"node"`           // as written
	Down    string  `json:"down,omitempty"` // why nothing is handled at present; empty: it is
	Waiting int64   `json:"waiting"`        // messages that are stored for the node and have not had their turn
	Steps   []Known `json:"steps,omitempty"`
}

// Known is where one message of a request is, or what became of it, at one node.
type Known struct {
	RequestID string   `json:"request_id"`
	State     State    `json:"state"`
	Seconds   float64  `json:"seconds,omitempty"`  // Running: for how long
	Before    int      `json:"before,omitempty"`   // Queued: how many have their turn first
	Channels  []string `json:"channels,omitempty"` // Finished: those that it was sent to and somebody listens to; "" is the default one
	Failed    bool     `json:"failed,omitempty"`   // Finished: what was sent is an error
	Answered  bool     `json:"answered,omitempty"` // Finished: the caller was answered, by this run or before it
}

// RequestIDIn returns the id of the request that a message belongs to, by its headers; empty if they do not tell.
func RequestIDIn(header map[string][]string) string {
	if values := header[HeaderRequestID]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// State is where a message is at a node.
type State string

// The states of a message that a process has seen.
const (
	Queued   State = "queued"   // the process holds it, and its turn has not come
	Running  State = "running"  // it is in the handler
	Retrying State = "retrying" // an attempt has failed, another one follows
	Storing  State = "storing"  // the handler has returned, and what it sent is not confirmed yet
	Finished State = "finished"
)
