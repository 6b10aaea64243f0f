package socket_test

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/socket"
)

func address(t *testing.T, parts ...string) (address, path string) {
	t.Helper()
	path = filepath.Join(append([]string{t.TempDir(), "own"}, parts...)...)
	address, err := socket.Address(path)
	require.NoError(t, err)
	return address, path
}

// talk requires that who dials an address reaches the listener.
func talk(t *testing.T, listener net.Listener, address string) {
	t.Helper()
	said := make(chan error, 1)
	go func() {
		conn, err := listener.Accept()
		if err == nil {
			_, err = io.WriteString(conn, "hello")
			_ = conn.Close() // the reader sees it
		}
		said <- err
	}()
	conn, err := socket.Dial(t.Context(), address)
	require.NoError(t, err)
	defer conn.Close() //nolint:errcheck // it was read to its end
	heard, err := io.ReadAll(conn)
	require.NoError(t, err)
	require.NoError(t, <-said)
	require.Equal(t, "hello", string(heard))
}

func TestWhoListensAtASocketIsReachedThere(t *testing.T) {
	for name, parts := range map[string][]string{
		"a short path": {"s"}, "a long path": {strings.Repeat("long", 20), strings.Repeat("er", 30), "s.sock"},
	} {
		t.Run(name, func(t *testing.T) {
			address, path := address(t, parts...)
			listener, err := socket.Listen(address)
			require.NoError(t, err)
			require.Equal(t, path, listener.Addr().String())
			talk(t, listener, address)
			for file, mode := range map[string]os.FileMode{path: 0o600, filepath.Dir(path): 0o700} {
				info, err := os.Stat(file)
				require.NoError(t, err)
				require.Equal(t, mode, info.Mode().Perm())
			}
			_, err = socket.Listen(address)
			require.ErrorIs(t, err, syscall.EADDRINUSE)
			require.NoError(t, listener.Close())

			_, err = socket.Dial(t.Context(), address)
			require.ErrorIs(t, err, syscall.ECONNREFUSED)
			again, err := socket.Listen(address)
			require.NoError(t, err, "what was left is replaced")
			talk(t, again, address)
			require.NoError(t, again.Close())
		})
	}
}

func TestAFolderThatOthersCanWriteToIsNoPlaceToMeet(t *testing.T) {
	address, path := address(t, "s")
	listener, err := socket.Listen(address)
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // the test is over
	require.NoError(t, os.Chmod(filepath.Dir(path), 0o777))
	_, err = socket.Dial(t.Context(), address)
	require.ErrorContains(t, err, "others can write to the folder")
	require.ErrorContains(t, err, "chmod go-w "+filepath.Dir(path))
	other := filepath.Join(filepath.Dir(path), "other")
	_, err = socket.Listen("unix:" + other)
	require.ErrorContains(t, err, "others can write to the folder")
	require.NoFileExists(t, other)
}

func TestAFileThatIsNoSocketIsLeftAlone(t *testing.T) {
	address, path := address(t, "s")
	require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o700))
	require.NoError(t, os.WriteFile(path, []byte("mine"), 0o600))
	_, err := socket.Listen(address)
	require.ErrorContains(t, err, "is no socket")
	content, err := os.ReadFile(path)
	require.NoError(t, err)
	require.Equal(t, "mine", string(content))
}

func TestPortsAreAddressesToo(t *testing.T) {
	listener, err := socket.Listen("127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // the test is over
	talk(t, listener, listener.Addr().String())
	_, ok := socket.Path(listener.Addr().String())
	require.False(t, ok)
	conn, err := socket.Dialer{}.DialContext(t.Context(), "tcp", listener.Addr().String())
	require.NoError(t, err)
	require.NoError(t, conn.Close())
}
