package rpc_test

import (
	"bytes"
	stdgzip "compress/gzip"
	"context"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/heap/heaptest"
	"github.com/konstellation-io/kre/kit/nesting"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/rpc/rpctest"
)

const (
	mib = 1 << 20
	// mostMemory is what an attacked service may take beyond what it takes at rest.
	mostMemory = 256 * mib
	takeMethod = "/test.Attacked/Take"
	attackers  = 24
)

func packed(t *testing.T, message []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := stdgzip.NewWriter(&out)
	_, err := w.Write(message)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return out.Bytes()
}

// TestMain lets callers send what is packed already: packing takes longer than the attacks.
func TestMain(m *testing.M) {
	encoding.RegisterCompressor(rpctest.PackedAlready{})
	m.Run()
}

// attacked is a server with a method that takes lists, and the address of it.
func attacked(t *testing.T, opts rpc.Options, take func(ctx context.Context, list *structpb.ListValue) error) (*grpc.ClientConn, string) {
	t.Helper()
	server := rpc.NewServer(zap.NewNop(), opts)
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Attacked", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Take", Handler: func(_ any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error) {
			list := new(structpb.ListValue)
			if err := decode(list); err != nil {
				return nil, err
			}
			return around(ctx, list, &grpc.UnaryServerInfo{FullMethod: takeMethod}, func(ctx context.Context, _ any) (any, error) {
				return new(emptypb.Empty), take(ctx, list)
			})
		}}},
	}, struct{}{})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn, err := rpc.Dial(listener.Addr().String(), rpc.ClientOptions{})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, conn.Close())
		require.NoError(t, server.Stop(context.Background()))
		require.NoError(t, <-served)
	})
	return conn, listener.Addr().String()
}

func raw(ctx context.Context, conn *grpc.ClientConn, message []byte, opts ...grpc.CallOption) error {
	return conn.Invoke(ctx, takeMethod, message, new(emptypb.Empty), append(opts, grpc.ForceCodecV2(rpctest.Bytes{}))...)
}

// bomb is a list of empty values: each is two bytes, and a hundred once it is read. Compressed it is a thousandth of its size.
func bomb(size int) []byte { return bytes.Repeat([]byte{0x0a, 0x00}, size/2) }

// text is a list of one text.
func text(t *testing.T, size int) []byte {
	t.Helper()
	message, err := proto.Marshal(&structpb.ListValue{Values: []*structpb.Value{structpb.NewStringValue(strings.Repeat("x", size))}})
	require.NoError(t, err)
	return message
}

// atOnce makes so many calls at once, and returns how many ended with which code.
func atOnce(calls int, call func() error) map[codes.Code]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	codes := make(map[codes.Code]int)
	for range calls {
		all.Go(func() {
			code := status.Code(call())
			mu.Lock()
			defer mu.Unlock()
			codes[code]++
		})
	}
	all.Wait()
	return codes
}

func known(ctx context.Context) context.Context {
	return metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer secret")
}

func nothing(context.Context, *structpb.ListValue) error { return nil }

func TestAMessageOfSomebodyUnknownIsNotUnpacked(t *testing.T) {
	conn, _ := attacked(t, rpc.Options{Token: "secret", MaxRequestBytes: 16 * mib}, nothing)
	message := packed(t, bomb(16*mib))
	var ended map[codes.Code]int
	peak := heaptest.Peak(func() {
		ended = atOnce(attackers, func() error { return raw(t.Context(), conn, message, grpc.UseCompressor(gzip.Name)) })
	})
	t.Logf("at most %d MiB above rest", peak/mib)
	require.Equal(t, map[codes.Code]int{codes.Unauthenticated: attackers}, ended)
	require.Less(t, peak, int64(mostMemory))
}

func TestWhatMessagesBecomeIsBoundedForThoseWhoAreKnownToo(t *testing.T) {
	conn, _ := attacked(t, rpc.Options{Token: "secret", MaxRequestBytes: 16 * mib}, nothing)
	for name, attack := range map[string]struct {
		message []byte
		options []grpc.CallOption
	}{
		"packed":                         {packed(t, bomb(16*mib)), []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
		"as it is":                       {bomb(16 * mib), nil},
		"small, and more than its bytes": {bomb(60 << 10), nil},
		"large, and as much":             {text(t, 8*mib), nil},
		"larger than allowed":            {packed(t, bomb(17*mib)), []grpc.CallOption{grpc.UseCompressor(gzip.Name)}},
	} {
		t.Run(name, func(t *testing.T) {
			var ended map[codes.Code]int
			peak := heaptest.Peak(func() {
				ended = atOnce(attackers, func() error { return raw(known(t.Context()), conn, attack.message, attack.options...) })
			})
			t.Logf("at most %d MiB above rest: %v", peak/mib, ended)
			require.Less(t, peak, int64(mostMemory))
			require.Equal(t, attackers, ended[codes.OK]+ended[codes.ResourceExhausted], "%v", ended)
			require.NoError(t, raw(known(t.Context()), conn, nil), "and afterwards all is as before")
		})
	}
}

func TestSmallCallsGoOnWhileLargeOnesFillTheBudget(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	conn, _ := attacked(t, rpc.Options{Budget: budget.New(8 * mib)}, func(_ context.Context, list *structpb.ListValue) error {
		if len(list.GetValues()) > 0 {
			entered <- struct{}{}
			<-release
		}
		return nil
	})
	large := text(t, 3*mib)
	held := make(chan error, 1)
	go func() { held <- raw(context.Background(), conn, large) }()
	<-entered
	require.NoError(t, raw(t.Context(), conn, nil), "it needs nothing of the budget")
	second := make(chan error, 1)
	go func() { second <- raw(context.Background(), conn, large) }()
	refused := <-second
	require.Equal(t, codes.ResourceExhausted, status.Code(refused), "%v", refused)
	require.Contains(t, status.Convert(refused).Message(), "try again")
	close(release)
	require.NoError(t, <-held)
}

func TestNestingIsBounded(t *testing.T) {
	conn, _ := attacked(t, rpc.Options{}, nothing)
	nested := func(depth int) []byte {
		list := new(structpb.ListValue)
		for range depth - 1 {
			list = &structpb.ListValue{Values: []*structpb.Value{structpb.NewListValue(list)}}
		}
		message, err := proto.Marshal(list)
		require.NoError(t, err)
		return message
	}
	require.NoError(t, raw(t.Context(), conn, nested(nesting.Limit)))
	for _, depth := range []int{nesting.Limit + 1, 5000} {
		err := raw(t.Context(), conn, nested(depth))
		require.Equal(t, codes.InvalidArgument, status.Code(err))
		require.Contains(t, status.Convert(err).Message(), "nested more than 100 deep")
	}
}

func TestAMessageThatIsNoneIsTheCallersMistake(t *testing.T) {
	conn, _ := attacked(t, rpc.Options{}, nothing)
	for _, message := range [][]byte{{0xff}, {0x0a, 0x05}, {0x0a, 0x01, 0xff}, {0x00}} {
		require.Equal(t, codes.InvalidArgument, status.Code(raw(t.Context(), conn, message)), "%v", message)
	}
}

func TestStreamsAreBoundedAllInAllAndByConnection(t *testing.T) {
	f := serve(t, rpc.Options{MaxStreams: 5, MaxStreamsOfOne: 3}, func(ctx context.Context) error {
		<-ctx.Done()
		return nil
	})
	other := dial(t, f, rpc.ClientOptions{})
	begin := func(conn grpc.ClientConnInterface) (grpc.ClientStream, context.CancelFunc) {
		ctx, cancel := context.WithCancel(context.Background())
		t.Cleanup(cancel)
		stream, err := conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, watchMethod)
		require.NoError(t, err)
		require.NoError(t, stream.SendMsg(new(emptypb.Empty)))
		require.NoError(t, stream.CloseSend())
		return stream, cancel
	}
	refused := func(conn grpc.ClientConnInterface, says string) {
		stream, _ := begin(conn)
		err := stream.RecvMsg(new(emptypb.Empty))
		require.Equal(t, codes.ResourceExhausted, status.Code(err), "%v", err)
		require.Contains(t, err.Error(), says)
		require.Contains(t, err.Error(), "share one")
	}
	entered := func(conn grpc.ClientConnInterface, n int) (cancel context.CancelFunc) {
		for range n {
			_, cancel = begin(conn)
		}
		return cancel
	}
	end := entered(f, 3)
	require.Eventually(t, func() bool { return f.server.Streams() == 3 }, time.Minute, time.Millisecond)
	refused(f, "there are 3 streams (watches, logs that are followed, uploads) on this connection")
	entered(other, 2)
	require.Eventually(t, func() bool { return f.server.Streams() == 5 }, time.Minute, time.Millisecond)
	refused(other, "there are 5 streams")
	end()
	require.Eventually(t, func() bool { return f.server.Streams() == 4 }, time.Minute, time.Millisecond)
	entered(other, 1)
	require.Eventually(t, func() bool { return f.server.Streams() == 5 }, time.Minute, time.Millisecond)
}

func TestWhoIsNotAskedWhoTheyAreCannotOpenStreamsWithoutBound(t *testing.T) {
	conn, _ := attacked(t, rpc.Options{Token: "secret"}, nothing)
	health := grpc_health_v1.NewHealthClient(conn)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	served := 0
	for range 300 {
		stream, err := health.Watch(ctx, &grpc_health_v1.HealthCheckRequest{})
		require.NoError(t, err)
		if _, err := stream.Recv(); err == nil {
			served++
		} else {
			require.Equal(t, codes.ResourceExhausted, status.Code(err))
		}
	}
	require.Equal(t, 100, served)
	require.NoError(t, raw(known(t.Context()), conn, nil))
}

func TestAHeaderIsBounded(t *testing.T) {
	conn, _ := attacked(t, rpc.Options{}, nothing)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "colour", strings.Repeat("x", 20<<10))
	require.NoError(t, raw(t.Context(), conn, nil), "so that the server has told what it takes")
	require.Error(t, raw(ctx, conn, nil))
}

func TestOfCallsByUnknownCallersTheLogHasFew(t *testing.T) {
	f := serve(t, rpc.Options{Token: "secret"}, func(context.Context) error { return nil })
	began := time.Now()
	for range 1000 {
		require.Equal(t, codes.Unauthenticated, status.Code(f.call(t.Context())))
	}
	most := 10 * (int(time.Since(began)/time.Second) + 2)
	require.LessOrEqual(t, len(f.calls(t)), most)
}

// A message of which the beginning alone has come takes of the budget, and gives it back when its caller goes.
func TestMessagesThatAreSentByHalfHoldNoMoreThanTheBudget(t *testing.T) {
	conn, addr := attacked(t, rpc.Options{Token: "secret", MaxRequestBytes: 16 * mib}, nothing)
	const streams = 100
	peak := heaptest.Peak(func() {
		attacker, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		half(t, attacker, streams)
		for range 10 {
			require.NoError(t, raw(known(t.Context()), conn, nil), "others are served")
		}
		require.NoError(t, attacker.Close())
	})
	t.Logf("at most %d MiB above rest", peak/mib)
	require.Less(t, peak, int64(mostMemory))
	large := text(t, 15*mib)
	require.Eventually(t, func() bool { return raw(known(t.Context()), conn, large) == nil }, time.Minute, 10*time.Millisecond)
}

// half begins calls, each with a message of 16 MiB of which the first 16 KiB come.
func half(t *testing.T, conn net.Conn, streams int) {
	t.Helper()
	_, err := io.WriteString(conn, http2.ClientPreface)
	require.NoError(t, err)
	framer := http2.NewFramer(conn, conn)
	require.NoError(t, framer.WriteSettings())
	begun := make([]byte, 5+16<<10)
	copy(begun, []byte{0, 0x01, 0, 0, 0})
	for i := range streams {
		id := uint32(2*i + 1)
		var header bytes.Buffer
		encoder := hpack.NewEncoder(&header)
		encoder.SetMaxDynamicTableSize(0)
		for _, field := range [][2]string{
			{":method", "POST"}, {":scheme", "http"}, {":path", takeMethod}, {":authority", "x"}, {"content-type", "application/grpc"},
			{"te", "trailers"}, {"authorization", "Bearer secret"},
		} {
			require.NoError(t, encoder.WriteField(hpack.HeaderField{Name: field[0], Value: field[1]}))
		}
		require.NoError(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: header.Bytes(), EndHeaders: true}))
		require.NoError(t, framer.WriteData(id, false, begun[:min(len(begun), 16<<10)]))
	}
}
