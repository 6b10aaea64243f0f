package ports_test

import (
	"context"
	"net"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/ports"
)

func TestAPortThatIsPickedIsFreeAndNotOneOfThoseGivenToConnections(t *testing.T) {
	for range 100 {
		port, err := ports.Pick(nil)
		require.NoError(t, err)
		require.GreaterOrEqual(t, port, 20000)
		require.Less(t, port, 30000)
		listener, err := net.Listen("tcp", ports.Address(ports.Loopback, port))
		require.NoError(t, err)
		require.False(t, ports.Free(ports.Loopback, port), "it is taken now")
		require.NoError(t, listener.Close())
	}
}

func TestAPortIsPickedOnlyIfItMayBeUsed(t *testing.T) {
	var refused int
	port, err := ports.Pick(func(port int) bool {
		if refused == 0 {
			refused = port
		}
		return port != refused
	})
	require.NoError(t, err)
	require.NotZero(t, refused)
	require.NotEqual(t, refused, port)

	_, err = ports.Pick(func(int) bool { return false })
	require.EqualError(t, err, "no free port found between 20000 and 29999 on 127.0.0.1")
}

func TestAPortTakenOnAllAddressesIsNotFreeOnOne(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", ports.Address("", port))
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // only there to be in the way
	require.False(t, ports.Free(ports.Loopback, port))
}

func TestAPortOutsideWhatThereIsIsRefused(t *testing.T) {
	require.NoError(t, ports.Check(0))
	require.NoError(t, ports.Check(ports.Last))
	require.EqualError(t, ports.Check(-1), "port -1: want 0 to 65535")
	require.EqualError(t, ports.Check(65536), "port 65536: want 0 to 65535")
}

func TestAFreePortIsFreeWhileProcessesAreStarted(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	ctx, stop := context.WithCancel(t.Context())
	var starting sync.WaitGroup
	for range 4 {
		starting.Go(func() {
			for ctx.Err() == nil {
				_ = exec.Command(os.Args[0], "-test.run=^$").Run() // it is started, and ends
			}
		})
	}
	for range 500 {
		require.True(t, ports.Free(ports.Loopback, port))
	}
	stop()
	starting.Wait()
}
