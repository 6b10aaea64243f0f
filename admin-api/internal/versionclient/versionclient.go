// Package versionclient calls the rpcs of a running version with JSON, over the HTTP port of its entrypoint, as any of its
// callers would (the Connect protocol, runner-sdk/entrypoint). It knows no message of any version.
package versionclient

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
)

const (
	// maxAnswer bounds an answer: it is held in memory.
	maxAnswer = 16 << 20
	// listPatience is how long the list of rpcs may take.
	listPatience = 5 * time.Second
	// grace is how much longer than its caller wants a call may take, so that it is the version that tells of a timeout.
	grace = 2 * time.Second
)

// Client calls versions.
type Client struct {
	http *http.Client
}

var _ engine.Calls = (*Client)(nil)

// New returns a client.
func New() *Client {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // versions are near
	transport.MaxIdleConnsPerHost = 16
	return &Client{http: &http.Client{Transport: transport}}
}

// Close closes connections that are idle.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call calls an rpc. The error of a version is a status (google.golang.org/grpc/status) with the code, text and details
// that it gave; a version that cannot be reached is fault.Unavailable.
func (c *Client) Call(ctx context.Context, call engine.Call) (engine.Answer, error) {
	path := "/" + strings.TrimPrefix(call.RPC, "/")
	if !strings.Contains(call.RPC, "/") {
		var err error
		if path, err = c.path(ctx, call); err != nil {
			return engine.Answer{}, err
		}
	}
	if call.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, call.Timeout+grace)
		defer cancel()
	}
	body := call.Request
	if len(body) == 0 {
		body = []byte("{}")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, call.HTTPAddress+path, bytes.NewReader(body))
	if err != nil {
		return engine.Answer{}, unknownRPC(call.RPC, nil)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Connect-Protocol-Version", "1")
	if call.Timeout > 0 {
		request.Header.Set("Connect-Timeout-Ms", strconv.FormatInt(max(call.Timeout.Milliseconds(), 1), 10))
	}
	said, err := c.do(request)
	if err != nil {
		return engine.Answer{}, err
	}
	if said.code != http.StatusOK {
		return engine.Answer{}, said.failure()
	}
	return engine.Answer{Response: said.text, RequestID: said.requestID}, nil
}

// path finds the path of an rpc that is given by its name alone.
func (c *Client) path(ctx context.Context, call engine.Call) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, listPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, call.HTTPAddress+"/", nil)
	if err != nil {
		return "", fmt.Errorf("ask a version for its rpcs: %w", err)
	}
	request.Header.Set("Accept", "application/json")
	said, err := c.do(request)
	if err != nil {
		return "", err
	}
	var listing struct {
		RPCs []struct{ Name, Path string }
	}
	if said.code != http.StatusOK || json.Unmarshal(said.text, &listing) != nil {
		return "", unavailable(fmt.Errorf("the list of rpcs cannot be read: %s", said.status))
	}
	var known []string
	for _, rpc := range listing.RPCs {
		if rpc.Name == call.RPC {
			return rpc.Path, nil
		}
		known = append(known, rpc.Name)
	}
	return "", unknownRPC(call.RPC, known)
}

// answer is what an entrypoint answered, read to its end.
type answer struct {
	code      int
	status    string // the code with its text
	requestID string
	text      []byte
}

// do sends a request and reads the answer.
func (c *Client) do(request *http.Request) (answer, error) {
	response, err := c.http.Do(request)
	if err != nil {
		return answer{}, broken(request, err)
	}
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer+1))
	if err := errors.Join(err, response.Body.Close()); err != nil {
		return answer{}, broken(request, err)
	}
	if len(text) > maxAnswer {
		return answer{}, fault.New(fault.Exhausted, "the version's answer has more than %d bytes; call it at its own address", maxAnswer).
			For(engine.ReasonTooLarge, "limit_bytes", strconv.Itoa(maxAnswer))
	}
	return answer{
		code: response.StatusCode, status: response.Status, requestID: response.Header.Get("X-Request-Id"), text: text,
	}, nil
}

func broken(request *http.Request, err error) error {
	if request.Context().Err() != nil && errors.Is(context.Cause(request.Context()), context.Canceled) {
		return context.Canceled
	}
	return unavailable(err)
}

func unavailable(cause error) error {
	return fault.Wrap(fault.Unavailable, cause, "the version's entrypoint does not answer now; the same may be asked again in a moment").
		For(engine.ReasonUnavailable, "service", "entrypoint")
}

func unknownRPC(name string, known []string) error {
	message := fmt.Sprintf("the version has no rpc %q", name)
	if len(known) > 0 {
		message += "; it has " + strings.Join(known, ", ")
	}
	f := fault.New(fault.Invalid, "rpc: %s", message).For(engine.ReasonInvalidRequest)
	f.Fields = []fault.Field{{Path: "rpc", Message: message}}
	return f
}

// failure is the status in an error of the Connect protocol.
func (a answer) failure() error {
	var said struct {
		Code, Message string
		Details       []struct{ Type, Value string }
	}
	if json.Unmarshal(a.text, &said) != nil || said.Code == "" {
		return unavailable(fmt.Errorf("it answered %s, which is no answer of an entrypoint", a.status))
	}
	var code codes.Code
	if code.UnmarshalJSON([]byte(strconv.Quote(strings.ToUpper(said.Code)))) != nil {
		code = codes.Unknown
	}
	whole := status.New(code, said.Message).Proto()
	for _, detail := range said.Details {
		value, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(detail.Value, "="))
		if err == nil {
			whole.Details = append(whole.Details, &anypb.Any{TypeUrl: "type.googleapis.com/" + detail.Type, Value: value})
		}
	}
	return status.FromProto(whole).Err()
}
