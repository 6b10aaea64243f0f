package versionclient_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/admin-api/internal/versionclient"
	"github.com/konstellation-io/kre/kit/fault"
)

// entrypoint answers as one does: a list of its rpcs at /, and each at its path.
func entrypoint(t *testing.T, answer http.HandlerFunc) string {
	t.Helper()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `{"rpcs": [{"name": "Estimate", "path": "/price.Price/Estimate"}, {"name": "Explain", "path": "/price.Price/Explain"}]}`)
	})
	mux.HandleFunc("POST /price.Price/Estimate", answer)
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	return server.URL
}

func newClient(t *testing.T) *versionclient.Client {
	t.Helper()
	client := versionclient.New()
	t.Cleanup(client.Close)
	return client
}

func requireFault(t *testing.T, err error, kind fault.Kind, reason string) *fault.Error {
	t.Helper()
	var f *fault.Error
	require.ErrorAs(t, err, &f)
	require.Equal(t, kind, f.Kind)
	require.Equal(t, reason, f.Reason)
	return f
}

func TestAnRPCIsCalledByItsNameAloneOrInFull(t *testing.T) {
	base := entrypoint(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", "01X")
		_, _ = io.WriteString(w, `{"got": `+string(body)+`, "timeout": "`+r.Header.Get("Connect-Timeout-Ms")+`", "as": "`+r.Header.Get("Content-Type")+`"}`)
	})
	for _, rpc := range []string{"Estimate", "price.Price/Estimate", "/price.Price/Estimate"} {
		answer, err := newClient(t).Call(t.Context(), engine.Call{HTTPAddress: base, RPC: rpc, Request: []byte(`{"size": 5}`), Timeout: time.Minute})
		require.NoError(t, err)
		require.JSONEq(t, `{"got": {"size": 5}, "timeout": "60000", "as": "application/json"}`, string(answer.Response))
		require.Equal(t, "01X", answer.RequestID)
	}
	answer, err := newClient(t).Call(t.Context(), engine.Call{HTTPAddress: base, RPC: "Estimate"})
	require.NoError(t, err)
	require.JSONEq(t, `{"got": {}, "timeout": "", "as": "application/json"}`, string(answer.Response), "nothing is an empty request")
}

func TestAnUnknownRPCIsTheCallersMistakeAndNamesThoseThatAreThere(t *testing.T) {
	base := entrypoint(t, http.NotFound)
	_, err := newClient(t).Call(t.Context(), engine.Call{HTTPAddress: base, RPC: "Estmate"})
	f := requireFault(t, err, fault.Invalid, engine.ReasonInvalidRequest)
	require.Contains(t, f.Message, "it has Estimate, Explain")
	require.Equal(t, "rpc", f.Fields[0].Path)
}

func TestTheErrorOfAVersionIsToldAsItIs(t *testing.T) {
	// A google.rpc.RetryInfo of 3 s.
	base := entrypoint(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code": "out_of_range", "message": "no house of that size", "details": [{"type": "google.rpc.RetryInfo", "value": "CgIIAw"}]}`)
	})
	_, err := newClient(t).Call(t.Context(), engine.Call{HTTPAddress: base, RPC: "Estimate"})
	said, isStatus := status.FromError(err)
	require.True(t, isStatus)
	require.Equal(t, codes.OutOfRange, said.Code())
	require.Equal(t, "no house of that size", said.Message())
	require.Len(t, said.Details(), 1)
	require.EqualValues(t, 3, said.Details()[0].(*errdetails.RetryInfo).GetRetryDelay().GetSeconds())
}

func TestWhatIsNoAnswerOfAnEntrypointIsUnavailable(t *testing.T) {
	gone := httptest.NewServer(http.NotFoundHandler())
	gone.Close()
	for name, base := range map[string]string{
		"nobody is there": gone.URL,
		"a proxy in between": entrypoint(t, func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, "<h1>Bad gateway</h1>", http.StatusBadGateway)
		}),
		"it breaks off early": entrypoint(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }),
	} {
		t.Run(name, func(t *testing.T) {
			for _, rpc := range []string{"Estimate", "price.Price/Estimate"} {
				_, err := newClient(t).Call(t.Context(), engine.Call{HTTPAddress: base, RPC: rpc})
				f := requireFault(t, err, fault.Unavailable, engine.ReasonUnavailable)
				require.Equal(t, "entrypoint", f.Metadata["service"])
				require.NotContains(t, f.Message, "127.0.0.1")
			}
		})
	}
}

func TestAnAnswerThatIsTooLargeIsNotHeldInMemory(t *testing.T) {
	base := entrypoint(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `"`+strings.Repeat("x", 17<<20)+`"`) // the reader goes before its end
	})
	_, err := newClient(t).Call(t.Context(), engine.Call{HTTPAddress: base, RPC: "Estimate"})
	f := requireFault(t, err, fault.Exhausted, engine.ReasonTooLarge)
	require.Equal(t, "16777216", f.Metadata["limit_bytes"])
}

func TestACallEndsWithItsCaller(t *testing.T) {
	called := make(chan struct{})
	base := entrypoint(t, func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // only then a caller that goes is noticed
		close(called)
		<-r.Context().Done()
	})
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-called; cancel() }()
	_, err := newClient(t).Call(ctx, engine.Call{HTTPAddress: base, RPC: "Estimate"})
	require.ErrorIs(t, err, context.Canceled)
}
