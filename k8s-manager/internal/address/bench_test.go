package address_test

import (
	"io"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/address"
)

// back sends everything back.
func back(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	_, _ = io.Copy(conn, conn) // it ends with the benchmark
}

// ways are a connection straight to a server, and one through an address.
func ways(b *testing.B, serve func(net.Conn)) map[string]string {
	b.Helper()
	server := listen(b, anywhere(b), serve)
	h := hold(b, &address.Target{HTTP: server.Addr().String()})
	return map[string]string{"straight": server.Addr().String(), "through the address": h.HTTP}
}

func connect(b *testing.B, to string) net.Conn {
	b.Helper()
	conn, err := net.Dial("tcp", to)
	require.NoError(b, err)
	require.NoError(b, conn.SetDeadline(time.Now().Add(10*patience)))
	return conn
}

// BenchmarkRoundTrip is what a small request and its answer take.
func BenchmarkRoundTrip(b *testing.B) {
	for way, to := range ways(b, back) {
		b.Run(way, func(b *testing.B) {
			conn := connect(b, to)
			defer func() { _ = conn.Close() }()
			message := make([]byte, 200)
			for b.Loop() {
				_, err := conn.Write(message)
				require.NoError(b, err)
				_, err = io.ReadFull(conn, message)
				require.NoError(b, err)
			}
		})
	}
}

// BenchmarkConnection is what a connection for one small request takes.
func BenchmarkConnection(b *testing.B) {
	for way, to := range ways(b, back) {
		b.Run(way, func(b *testing.B) {
			message := make([]byte, 200)
			for b.Loop() {
				conn := connect(b, to)
				_, err := conn.Write(message)
				require.NoError(b, err)
				_, err = io.ReadFull(conn, message)
				require.NoError(b, err)
				require.NoError(b, conn.Close())
			}
		})
	}
}

// BenchmarkThroughput is how fast bytes pass.
func BenchmarkThroughput(b *testing.B) {
	for way, to := range ways(b, func(conn net.Conn) {
		defer func() { _ = conn.Close() }()
		_, _ = io.Copy(io.Discard, conn) // it ends with the benchmark
	}) {
		b.Run(way, func(b *testing.B) {
			conn := connect(b, to)
			defer func() { _ = conn.Close() }()
			chunk := make([]byte, 256<<10)
			b.SetBytes(int64(len(chunk)))
			for b.Loop() {
				_, err := conn.Write(chunk)
				require.NoError(b, err)
			}
		})
	}
}
