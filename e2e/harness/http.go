package harness

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"
)

// Answer is what came back over HTTP.
type Answer struct {
	Status     int
	RequestID  string
	RetryAfter string // of a refusal: seconds
	Body       string
}

// Code is the code of an error, such as "invalid_argument"; "" where the body is none.
func (a Answer) Code() string { return a.field("code") }

// GRPCCode is the code of an error as gRPC knows it; Unknown where the body is none.
func (a Answer) GRPCCode() codes.Code {
	code := codes.Unknown
	if code.UnmarshalJSON([]byte(strconv.Quote(strings.ToUpper(a.Code())))) != nil {
		return codes.Unknown
	}
	return code
}

// Message is the text of an error.
func (a Answer) Message() string { return a.field("message") }

func (a Answer) field(name string) string {
	var body map[string]any
	if a.Status == http.StatusOK || json.Unmarshal([]byte(a.Body), &body) != nil {
		return ""
	}
	text, _ := body[name].(string)
	return text
}

// Post posts a body to a path of the version's HTTP port. Headers are given as "Name: value". It does not fail the
// test, so that it may be called from any goroutine; the error is that of the connection.
func (r *Run) Post(ctx context.Context, path, contentType, body string, headers ...string) (Answer, error) {
	return PostTo(ctx, "http://"+r.Info.HTTP+path, contentType, body, headers...)
}

// PostTo is [Run.Post] for any URL.
func PostTo(ctx context.Context, url, contentType, body string, headers ...string) (Answer, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return Answer{}, err
	}
	request.Header.Set("Content-Type", contentType)
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return Answer{}, err
	}
	defer response.Body.Close() //nolint:errcheck // read to its end
	content, err := io.ReadAll(response.Body)
	return Answer{
		Status: response.StatusCode, RequestID: response.Header.Get("X-Request-Id"), RetryAfter: response.Header.Get("Retry-After"),
		Body: string(content),
	}, err
}

// JSON calls an rpc, e.g. "steps.Steps/Chain", with JSON over HTTP.
func (r *Run) JSON(ctx context.Context, rpc, body string) (Answer, error) {
	return r.Post(ctx, "/"+rpc, "application/json", body)
}

// MustJSON is [Run.JSON] for calls that have to succeed.
func (r *Run) MustJSON(t testing.TB, rpc, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), Patience)
	defer cancel()
	answer, err := r.JSON(ctx, rpc, body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, answer.Status, answer.Body)
	return answer.Body
}
