package wire

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Timing is the value of the timing header: the runs on the path of a message so far, in order, as
// `etl=412,model=1870`, in microseconds.
type Timing string

// Step is one run of a Timing.
type Step struct {
	Node  string // as written in the manifest
	Spent time.Duration
}

// Append returns t with one more run at its end. Microseconds are what is kept of spent.
func (t Timing) Append(node string, spent time.Duration) Timing {
	step := timingName(node) + "=" + strconv.FormatInt(max(0, spent.Microseconds()), 10)
	if t == "" {
		return Timing(step)
	}
	return t + "," + Timing(step)
}

// Steps returns the runs that t holds.
func (t Timing) Steps() ([]Step, error) {
	if t == "" {
		return nil, nil
	}
	steps := make([]Step, 0, strings.Count(string(t), ",")+1)
	for entry := range strings.SplitSeq(string(t), ",") {
		node, spent, _ := strings.Cut(entry, "=")
		n, ok := decimal(spent)
		if node == "" || !ok || n > maxMicroseconds {
			return nil, fmt.Errorf("%q is not <node>=<microseconds>", entry)
		}
		steps = append(steps, Step{Node: node, Spent: time.Duration(n) * time.Microsecond})
	}
	return steps, nil
}

const maxMicroseconds = int64(1<<63-1) / int64(time.Microsecond)

// timingName keeps the separators of the header out of a node's name, which a V1 manifest hardly bounds.
func timingName(node string) string {
	return strings.Map(func(r rune) rune {
		if r == ',' || r == '=' || r <= ' ' || r == 0x7f {
			return '_'
		}
		return r
	}, node)
}
