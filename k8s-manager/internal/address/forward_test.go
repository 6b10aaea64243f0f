package address

import (
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/konstellation-io/kre/kit/ports"
)

// counting stands for whoever answers in place of a version.
type counting struct {
	nowhere
	handed chan net.Conn
}

func (c *counting) Hand(conn net.Conn) { c.handed <- conn }

func TestATargetThatNeverAnswersIsGivenUpAfterItsTime(t *testing.T) {
	gone, err := ports.Pick(nil)
	require.NoError(t, err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer func() { require.NoError(t, listener.Close()) }()
	p := newPort(listener, zap.NewNop())
	p.patience = 50 * time.Millisecond
	p.to = ports.Address(ports.Loopback, gone)
	handed := &counting{handed: make(chan net.Conn, 1)}
	p.nowhere = handed
	client, err := net.Dial("tcp", listener.Addr().String())
	require.NoError(t, err)
	defer func() { require.NoError(t, client.Close()) }()
	accepted, err := listener.Accept()
	require.NoError(t, err)
	p.take(accepted)
	require.Equal(t, accepted, <-handed.handed)
	require.Equal(t, "the published version does not answer", p.why())
	p.forward.Wait()
	require.NoError(t, accepted.Close())
}
