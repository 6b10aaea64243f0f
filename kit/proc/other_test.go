//go:build unix && !linux

package proc_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
)

func superviseGiven() { panic("nothing is detached here") }

func TestADetachedProcessIsRefusedHere(t *testing.T) {
	s, _ := supervisor(t)
	spec := shell("node", "exit 0")
	spec.Detached = &proc.Detached{StateFile: filepath.Join(t.TempDir(), "state"), LogFile: filepath.Join(t.TempDir(), "log")}
	p := s.Start(spec)
	waitEnded(t, p)
	require.EqualError(t, p.Err(), "node cannot be started: processes that outlive their supervisor need Linux")
}
