// Package httpapi is the REST rendering of kre.admin.v1: the gateway to the gRPC services, the upload of packages, the
// OpenAPI document, and a page to browse it. It decides nothing but how a request over HTTP becomes a call and an answer
// or an error becomes JSON.
package httpapi

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/konstellation-io/kre/kit/budget"
	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	// requestID is the header under which an answer carries the id that the log tells more under.
	requestID = "X-Request-Id"
)

// Options are what the API needs besides the calls.
type Options struct {
	// Authenticate is what the gRPC server asks before each call; here it is asked before anything of a request is looked at.
	Authenticate func(ctx context.Context, method string) (context.Context, error)
	// Ready tells whether calls can be served, and if not, why. nil: always.
	Ready func(ctx context.Context) error
	// UploadPatience is how long an upload may stand still. 0: a minute.
	UploadPatience time.Duration
	// Ending is closed when streams are to end because the program does: their readers come back. nil: never.
	Ending <-chan struct{}
	// Budget bounds what bodies that are JSON, and the messages that are made of them, take at once. nil: nothing does.
	Budget *budget.Budget
	// Status tells what a caller learns of an error that is none of a call, as it does of those. nil: rpc.Status.
	Status func(err error, requestID string) *status.Status
}

// api is the REST API.
type api struct {
	runtimes       adminv1.RuntimeServiceClient
	versions       adminv1.VersionServiceClient
	mux            *runtime.ServeMux
	bindings       []binding
	json           *marshaler
	authenticate   func(ctx context.Context, method string) (context.Context, error)
	uploadPatience time.Duration
	ending         <-chan struct{}
	log            *zap.Logger
	strangers      *log.Seldom // requests of those of whom nobody knows who they are
	budget         *budget.Budget
	status         func(err error, requestID string) *status.Status
}

// New returns the handler of everything that is served over HTTP; conn leads to the gRPC services, and passes on the
// metadata of a call.
func New(conn grpc.ClientConnInterface, logger *zap.Logger, opts Options) (http.Handler, error) {
	a := &api{
		runtimes: adminv1.NewRuntimeServiceClient(conn), versions: adminv1.NewVersionServiceClient(conn),
		bindings: bindings(), json: newMarshaler(), authenticate: opts.Authenticate,
		uploadPatience: opts.UploadPatience, ending: opts.Ending, log: logger,
		strangers: log.NewSeldom(), budget: opts.Budget, status: opts.Status,
	}
	if a.status == nil {
		a.status = rpc.Status
	}
	if a.uploadPatience == 0 {
		a.uploadPatience = time.Minute
	}
	a.mux = runtime.NewServeMux(
		runtime.WithMarshalerOption(runtime.MIMEWildcard, a.json),
		runtime.WithIncomingHeaderMatcher(incoming),
		runtime.WithOutgoingHeaderMatcher(outgoing),
		runtime.WithErrorHandler(func(ctx context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, err error) {
			if md, ok := runtime.ServerMetadataFromContext(ctx); ok {
				told(w, md.HeaderMD)
			}
			a.failed(w, r, err)
		}),
		runtime.WithRoutingErrorHandler(func(_ context.Context, _ *runtime.ServeMux, _ runtime.Marshaler, w http.ResponseWriter, r *http.Request, code int) {
			a.lost(w, r, code)
		}),
		runtime.WithMiddlewares(a.checked),
		runtime.WithDisablePathLengthFallback(), // a form posted to what is read is a mistake, and says so
		runtime.WithDisableHTTPMethodOverride(),
		runtime.WithWriteContentLength(),
	)
	// Registering begins nothing that would have to end: the context is not looked at where a client is given.
	err := errors.Join(
		adminv1.RegisterRuntimeServiceHandlerClient(context.Background(), a.mux, a.runtimes),
		adminv1.RegisterVersionServiceHandlerClient(context.Background(), a.mux, a.versions),
		// Later ones come first. The gateway's own streams wrap each message; what it has for a client's stream is nothing.
		a.mux.HandlePath(http.MethodGet, "/v1/{name=runtimes/*}:watch", a.watch),
		a.mux.HandlePath(http.MethodGet, "/v1/{parent=runtimes/*/versions/*}/logs:tail", a.tail),
		a.mux.HandlePath(http.MethodPost, uploadTemplate, a.upload),
	)
	if err != nil {
		return nil, fmt.Errorf("render the services over HTTP: %w", err)
	}
	return a.routes(opts.Ready)
}

// routes is everything that is served, by path.
func (a *api) routes(ready func(ctx context.Context) error) (http.Handler, error) {
	openAPI, err := document()
	if err != nil {
		return nil, fmt.Errorf("describe the API: %w", err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { sayPlainly(w, http.StatusOK, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if ready != nil {
			if err := ready(r.Context()); err != nil {
				sayPlainly(w, http.StatusServiceUnavailable, "not ready")
				return
			}
		}
		sayPlainly(w, http.StatusOK, "ready")
	})
	if err := servePage(mux); err != nil {
		return nil, err
	}
	mux.Handle("GET /openapi.json", a.known(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", plain)
		_, _ = w.Write(openAPI) // a caller that has gone needs none
	})))
	mux.Handle("/v1/", a.known(a.mux))
	mux.Handle("/", a.known(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { a.lost(w, r, http.StatusNotFound) })))
	return mux, nil
}

// incoming lets those headers pass that mean something to the services; the token passes by itself.
func incoming(header string) (string, bool) {
	switch header {
	case "Traceparent", "Tracestate", "Baggage":
		return strings.ToLower(header), true
	}
	return "", false
}

func outgoing(key string) (string, bool) { return requestID, key == rpc.RequestIDKey }

// told passes on what a call told beside its answer.
func told(w http.ResponseWriter, header metadata.MD) {
	for _, id := range header.Get(rpc.RequestIDKey) {
		w.Header().Set(requestID, id)
	}
}

// known lets pass who may call.
func (a *api) known(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := metadata.NewIncomingContext(r.Context(), metadata.MD{"authorization": r.Header.Values("Authorization")})
		if _, err := a.authenticate(ctx, r.URL.Path); err != nil {
			a.refused(w, r, &patient{control: http.NewResponseController(w), ended: r.ContentLength == 0}, err)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// checked refuses what the gateway would overlook: misspelt parameters, and bodies without an end.
func (a *api) checked(next runtime.HandlerFunc) runtime.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request, params map[string]string) {
		bound, upload := binding{}, false
		if r.URL.RawQuery != "" || r.Method == http.MethodPost {
			bound, _ = find(a.bindings, r.Method, r.URL.Path)
			upload = bound.input != nil && bound.input.Name() == "UploadVersionRequest"
		}
		if r.URL.RawQuery != "" {
			if wrong := bound.parameters(r.URL.Query()); len(wrong) > 0 {
				a.failed(w, r, invalid(wrong))
				return
			}
		}
		if !upload && r.ContentLength != 0 {
			share := a.budget.Share()
			defer share.Close()
			if err := keepBody(w, r, share); err != nil {
				a.failed(w, r, err)
				return
			}
		}
		next(w, r, params)
	}
}

func sayPlainly(w http.ResponseWriter, code int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(code)
	_, _ = io.WriteString(w, text+"\n") // a prober that has gone needs none
}
