package harness

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// Patience is how long a test waits for what should happen within a few seconds: the machine may be busy.
const Patience = 2 * time.Minute

// pause between two looks at a condition.
const pause = 20 * time.Millisecond

// Eventually waits until the condition holds; what it returns besides tells what was seen last.
func Eventually(t testing.TB, what string, condition func() (ok bool, seen string)) {
	t.Helper()
	deadline := time.Now().Add(Patience)
	for {
		ok, seen := condition()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			require.FailNow(t, "waited in vain: "+what, "seen last: %s", seen)
		}
		time.Sleep(pause)
	}
}
