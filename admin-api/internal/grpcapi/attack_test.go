package grpcapi_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/konstellation-io/kre/admin-api/internal/grpcapi"
	"github.com/konstellation-io/kre/admin-api/internal/httpapi"
	"github.com/konstellation-io/kre/kit/heap/heaptest"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/nesting"
	"github.com/konstellation-io/kre/kit/rpc"
	"github.com/konstellation-io/kre/kit/rpc/rpctest"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	mib = 1 << 20
	// mostMemory is what an attacked service may take beyond what it takes at rest.
	mostMemory = 256 * mib
)

// TestMain lets callers send what is packed already.
func TestMain(m *testing.M) {
	encoding.RegisterCompressor(rpctest.PackedAlready{})
	m.Run()
}

// bomb is a call of a version with eight million empty values in a list, packed: some 15 KB.
func bomb(t *testing.T) []byte {
	t.Helper()
	const size = 15 * mib
	list := append([]byte{0x32, 0, 0, 0, 0}, bytes.Repeat([]byte{0x0a, 0x00}, size/2)...) // Value.list_value
	putLength(list[1:5], size)
	message := append([]byte{0x1a, 0, 0, 0, 0}, list...) // CallVersionRequest.request
	putLength(message[1:5], len(list))
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	_, err := w.Write(message)
	require.NoError(t, err)
	require.NoError(t, w.Close())
	return packed.Bytes()
}

// putLength writes a length as a varint of four bytes.
func putLength(into []byte, length int) {
	for i := range into {
		into[i] = byte(length>>(7*i))&0x7f | 0x80
	}
	into[3] &= 0x7f
}

// atOnce does something so many times at once, and returns how often it ended how.
func atOnce[K comparable](times int, do func() K) map[K]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	ended := make(map[K]int)
	for range times {
		all.Go(func() {
			how := do()
			mu.Lock()
			defer mu.Unlock()
			ended[how]++
		})
	}
	all.Wait()
	return ended
}

func (f *fixture) dial(t *testing.T, token string) *grpc.ClientConn {
	t.Helper()
	conn, err := rpc.Dial(f.addr, rpc.ClientOptions{Token: token})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return conn
}

func TestCallsThatAreBombsCostLittleWhoeverMakesThem(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	message := bomb(t)
	require.Less(t, len(message), 20<<10)
	for given, want := range map[string]codes.Code{"": codes.Unauthenticated, token: codes.ResourceExhausted} {
		conn := f.dial(t, given)
		var ended map[codes.Code]int
		peak := heaptest.Peak(func() {
			ended = atOnce(8, func() codes.Code {
				return status.Code(conn.Invoke(t.Context(), adminv1.VersionService_CallVersion_FullMethodName, message, new(emptypb.Empty),
					grpc.ForceCodecV2(rpctest.Bytes{}), grpc.UseCompressor("gzip")))
			})
		})
		t.Logf("with the token %q: %v, at most %d MiB above rest", given, ended, peak/mib)
		require.Equal(t, map[codes.Code]int{want: 8}, ended)
		require.Less(t, peak, int64(mostMemory))
	}
	_, err := f.versions.GetVersion(t.Context(), &adminv1.GetVersionRequest{Name: v1})
	require.NoError(t, err, "and afterwards all is as before")
}

func TestBodiesThatAreBombsCostLittle(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	body := `{"rpc": "Estimate", "request": [` + strings.Repeat("{},", 3*mib) + `{}]}`
	for given, want := range map[string]int{"": http.StatusUnauthorized, token: http.StatusRequestEntityTooLarge} {
		var ended map[int]int
		peak := heaptest.Peak(func() {
			ended = atOnce(8, func() int {
				request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.base+"/v1/"+v1+":call", strings.NewReader(body))
				if err != nil {
					return 0
				}
				request.Header.Set("Authorization", "Bearer "+given)
				response, err := http.DefaultClient.Do(request)
				if err != nil {
					return 0
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
				return response.StatusCode
			})
		})
		t.Logf("with the token %q: %v, at most %d MiB above rest", given, ended, peak/mib)
		require.Less(t, peak, int64(mostMemory))
		require.Equal(t, 8, ended[want], "%v", ended)
	}
}

func TestWatchesAreBoundedHoweverManyAreAskedFor(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	const asked = 2000
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var ended map[codes.Code]int
	peak := heaptest.Peak(func() {
		ended = atOnce(asked, func() codes.Code {
			watch, err := f.runtimes.WatchRuntime(ctx, &adminv1.WatchRuntimeRequest{Name: "runtimes/prod"})
			if err == nil {
				_, err = watch.Recv()
			}
			return status.Code(err)
		})
	})
	t.Logf("%v, at most %d MiB above rest", ended, peak/mib)
	require.Equal(t, map[codes.Code]int{codes.OK: maxStreams, codes.ResourceExhausted: asked - maxStreams}, ended)
	require.Less(t, peak, int64(mostMemory))
	_, err := f.versions.GetVersion(t.Context(), &adminv1.GetVersionRequest{Name: v1})
	require.NoError(t, err, "other calls go on")
}

func TestNestingIsBoundedTheSameInBothAPIs(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1")
	f.start(t, v1)
	// The request is a level, and so is each list in it.
	nested := func(depth int) *structpb.Value {
		value := structpb.NewNumberValue(1)
		for range depth - 1 {
			value = structpb.NewListValue(&structpb.ListValue{Values: []*structpb.Value{value}})
		}
		return value
	}
	for depth, wrong := range map[int]bool{nesting.Limit: false, nesting.Limit + 1: true, 3000: true} {
		_, err := f.versions.CallVersion(t.Context(), &adminv1.CallVersionRequest{Name: v1, Rpc: "Estimate", Request: nested(depth)})
		code, _, text := f.rest(t, "POST", "/v1/"+v1+":call",
			`{"rpc": "Estimate", "request": `+strings.Repeat("[", depth-1)+"1"+strings.Repeat("]", depth-1)+`}`, token)
		if !wrong {
			require.NoError(t, err)
			require.Equal(t, 200, code, text)
			continue
		}
		require.Contains(t, requireReason(t, err, codes.InvalidArgument, adminv1.ErrorReason_ERROR_REASON_INVALID_REQUEST).Message(),
			"nested more than 100 deep")
		require.Equal(t, 400, code)
		require.Contains(t, statusOf(t, text).Message(), fmt.Sprintf("nested %d deep; at most 100", depth))
	}
	code, _, text := f.rest(t, "POST", "/v1/"+v1+":call", strings.Repeat("[", 5*mib), token)
	require.Contains(t, []int{400, 429}, code, text)
	code, _, text = f.rest(t, "POST", "/v1/"+v1+":call", `{"rpc": "Estimate", "request": "`+strings.Repeat("[", 200)+`\"["}`, token)
	require.Equal(t, 200, code, "brackets in a text are no nesting: %s", text)
}

func TestChunksThatAreBadlyFramedAreTheCallersMistake(t *testing.T) {
	f := newFixture(t)
	f.create(t, "prod", "v1 API_KEY")
	for _, request := range []string{
		"POST /v1/runtimes", "POST /v1/runtimes/prod/versions", "POST /v1/" + v1 + ":start", "PATCH /v1/" + v1 + "/config",
		"GET /v1/runtimes", "DELETE /v1/" + v1,
	} {
		for _, body := range []string{
			"zz\r\n{}\r\n0\r\n\r\n", "2\r\n{}x\r\n0\r\n\r\n", "-1\r\n{}\r\n", "fffffffffffffffff\r\n{}", "2;" + strings.Repeat("x", 8<<10) + "\r\n{}\r\n0\r\n\r\n",
			"2\n\n{}\r\n0\r\n\r\n", "\r\n\r\n",
		} {
			conn, err := net.Dial("tcp", strings.TrimPrefix(f.base, "http://"))
			require.NoError(t, err)
			_, err = fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n%s", request, token, body)
			require.NoError(t, err)
			response, err := http.ReadResponse(bufio.NewReader(conn), nil)
			require.NoError(t, err, "%s %q", request, body)
			text, err := io.ReadAll(response.Body)
			require.NoError(t, err)
			require.Equal(t, 400, response.StatusCode, "%s %q: %s", request, body, text)
			require.NoError(t, conn.Close())
		}
	}
}

// counting counts what is written to a log.
type counting struct {
	mu           sync.Mutex
	bytes, lines int
}

func (c *counting) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.bytes += len(p)
	c.lines++
	return len(p), nil
}

func TestWrongPathsDoNotFillTheLog(t *testing.T) {
	written := new(counting)
	logger, err := log.NewWriter(log.Flags{}, written)
	require.NoError(t, err)
	server := rpc.NewServer(zap.NewNop(), rpc.Options{})
	local, err := server.Local()
	require.NoError(t, err)
	handler, err := httpapi.New(local, logger, httpapi.Options{Authenticate: grpcapi.Administrator(token)})
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, local.Close())
		require.NoError(t, server.Stop(context.Background()))
	})
	began := time.Now()
	const requests = 1000
	for range requests {
		answer := httptest.NewRecorder()
		handler.ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), "GET", "/"+strings.Repeat("x", 60<<10), nil))
		require.Equal(t, 401, answer.Code)
	}
	most := 10 * (int(time.Since(began)/time.Second) + 2)
	require.LessOrEqual(t, written.lines, most)
	require.Less(t, written.bytes, 1000*most)

	request := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/"+strings.Repeat("x", 60<<10)+"?colour=red", nil)
	request.Header.Set("Authorization", "Bearer "+token)
	answer := httptest.NewRecorder()
	handler.ServeHTTP(answer, request)
	require.Equal(t, 404, answer.Code)
	require.Less(t, answer.Body.Len(), 1000)
	require.Contains(t, answer.Body.String(), "bytes more")
}
