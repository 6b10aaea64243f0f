package grpcapi_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/engine/enginetest"
	"github.com/konstellation-io/kre/admin-api/internal/grpcapi"
	"github.com/konstellation-io/kre/admin-api/internal/httpapi"
	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	token    = "open-sesame"
	patience = time.Minute
	// maxStreams is less than that of the program, so that it is reached at once.
	maxStreams = 60
)

// fixture is both APIs in front of an engine that runs, over a store and a world in memory.
type fixture struct {
	world *enginetest.World
	store *enginetest.Memory
	base  string // of REST
	addr  string // of gRPC

	runtimes adminv1.RuntimeServiceClient
	versions adminv1.VersionServiceClient
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{world: enginetest.NewWorld(), store: enginetest.NewMemory()}
	e := engine.New(zap.NewNop(), engine.Ports{
		Store: f.store, Manager: f.world, Runtimes: f.world, Calls: f.world, Sealer: enginetest.Seal{},
	}, engine.Options{Assert: 50 * time.Millisecond, Poll: 20 * time.Millisecond, PageKey: []byte("key")})
	running, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(running) }()
	t.Cleanup(func() { stop(); require.NoError(t, <-ended) })

	access := grpcapi.Administrator(token)
	memory := budget.New(64 << 20)
	server := rpc.NewServer(zap.NewNop(), grpcapi.Bounded(rpc.Options{
		Authenticate: access, Status: grpcapi.Status, Budget: memory, MaxStreams: maxStreams,
	}))
	grpcapi.Register(server, e)
	local, err := server.Local()
	require.NoError(t, err)
	handler, err := httpapi.New(local, zap.NewNop(), httpapi.Options{Authenticate: access, Budget: memory, Status: grpcapi.Status})
	require.NoError(t, err)
	web := httptest.NewServer(handler)
	f.base = web.URL
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	f.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		web.CloseClientConnections()
		web.Close()
		require.NoError(t, local.Close())
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		require.NoError(t, server.Stop(ctx))
		require.NoError(t, <-served)
	})
	f.runtimes, f.versions = f.as(t, token)
	eventually(t, e.Ready)
	return f
}

// as are clients that send a token.
func (f *fixture) as(t *testing.T, token string) (adminv1.RuntimeServiceClient, adminv1.VersionServiceClient) {
	t.Helper()
	conn, err := rpc.Dial(f.addr, rpc.ClientOptions{Token: token})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return adminv1.NewRuntimeServiceClient(conn), adminv1.NewVersionServiceClient(conn)
}

func eventually(t *testing.T, condition func() bool) {
	t.Helper()
	require.Eventually(t, condition, patience, 2*time.Millisecond)
}

// create makes a runtime with these versions: each a name and the keys it declares, files with an @.
func (f *fixture) create(t *testing.T, runtime string, packages ...string) {
	t.Helper()
	_, err := f.runtimes.CreateRuntime(t.Context(), &adminv1.CreateRuntimeRequest{RuntimeId: runtime})
	require.NoError(t, err)
	for _, content := range packages {
		_, err := f.upload(t.Context(), runtime, content)
		require.NoError(t, err)
	}
}

func (f *fixture) upload(ctx context.Context, runtime, content string) (*adminv1.Version, error) {
	stream, err := f.versions.UploadVersion(ctx)
	if err != nil {
		return nil, err
	}
	message := &adminv1.UploadVersionRequest{Parent: "runtimes/" + runtime, Comment: "because", Chunk: []byte(content)}
	if err := stream.Send(message); err != nil {
		return nil, err
	}
	return stream.CloseAndRecv()
}

// start starts a version and waits until it runs.
func (f *fixture) start(t *testing.T, name string) {
	t.Helper()
	_, err := f.versions.StartVersion(t.Context(), &adminv1.StartVersionRequest{Name: name})
	require.NoError(t, err)
	f.becomes(t, name, adminv1.Version_STARTED)
}

func (f *fixture) becomes(t *testing.T, name string, state adminv1.Version_State) {
	t.Helper()
	eventually(t, func() bool {
		version, err := f.versions.GetVersion(t.Context(), &adminv1.GetVersionRequest{Name: name})
		return err == nil && version.GetState() == state
	})
}

// send makes a request over REST, with the token unless there is none.
func (f *fixture) send(t *testing.T, method, path, body, token string) *http.Response {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, f.base+path, strings.NewReader(body))
	require.NoError(t, err)
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	return response
}

// rest makes a request over REST and returns the code, the header and the text of the answer.
func (f *fixture) rest(t *testing.T, method, path, body, token string) (int, http.Header, string) {
	t.Helper()
	response := f.send(t, method, path, body, token)
	text, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	require.NoError(t, response.Body.Close())
	return response.StatusCode, response.Header, string(text)
}

// ok makes a request over REST that has to succeed, and reads the answer.
func ok[M proto.Message](t *testing.T, f *fixture, method, path, body string, into M) M {
	t.Helper()
	code, _, text := f.rest(t, method, path, body, token)
	require.Equal(t, http.StatusOK, code, text)
	require.NoError(t, protojson.Unmarshal([]byte(text), into), text)
	return into
}

// statusOf reads an error as REST tells it.
func statusOf(t *testing.T, text string) *status.Status {
	t.Helper()
	told := new(rpcstatus.Status)
	require.NoError(t, protojson.Unmarshal([]byte(text), told), text)
	return status.FromProto(told)
}

// infoOf is the ErrorInfo of an error, which comes first.
func infoOf(t *testing.T, answer *status.Status) *errdetails.ErrorInfo {
	t.Helper()
	require.NotEmpty(t, answer.Details(), "%v", answer)
	info, isInfo := answer.Details()[0].(*errdetails.ErrorInfo)
	require.True(t, isInfo, "%v", answer)
	require.Equal(t, "kre.konstellation.io", info.GetDomain())
	return info
}

// violations are the fields that an error names, with what it says of each.
func violations(answer *status.Status) map[string]string {
	found := make(map[string]string)
	for _, detail := range answer.Details() {
		if bad, isBad := detail.(*errdetails.BadRequest); isBad {
			for _, violation := range bad.GetFieldViolations() {
				found[violation.GetField()] = violation.GetDescription()
			}
		}
	}
	return found
}

// requireReason wants an error of a call.
func requireReason(t *testing.T, err error, code codes.Code, reason adminv1.ErrorReason) *status.Status {
	t.Helper()
	answer, isStatus := status.FromError(err)
	require.True(t, isStatus, "%v", err)
	require.Equal(t, code, answer.Code(), "%v", answer)
	require.Equal(t, reason.String(), infoOf(t, answer).GetReason())
	return answer
}
