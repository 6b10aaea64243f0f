package harness

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Rest is an answer of the engine's REST API.
type Rest struct {
	Code int
	Body string
}

// Refusal is a google.rpc.Status as REST renders it.
type Refusal struct {
	Code    int              `json:"code"`
	Message string           `json:"message"`
	Details []map[string]any `json:"details"`
}

// Refusal reads the answer as an error.
func (r Rest) Refusal(t testing.TB) Refusal {
	t.Helper()
	var refusal Refusal
	require.NoError(t, json.Unmarshal([]byte(r.Body), &refusal), r.Body)
	return refusal
}

// Reason is the reason in the error's ErrorInfo.
func (r Refusal) Reason() string {
	for _, detail := range r.Details {
		if reason, ok := detail["reason"].(string); ok {
			return strings.TrimPrefix(reason, "ERROR_REASON_")
		}
	}
	return ""
}

// REST calls the engine's REST API with the administrator's token.
func (e *Engine) REST(t testing.TB, method, path string, body []byte) Rest {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, e.Up.HTTP+path, bytes.NewReader(body))
	require.NoError(t, err)
	request.Header.Set("Authorization", "Bearer "+e.Token)
	response, err := http.DefaultClient.Do(request)
	require.NoError(t, err)
	defer response.Body.Close() //nolint:errcheck // read to its end
	content, err := io.ReadAll(response.Body)
	require.NoError(t, err)
	return Rest{Code: response.StatusCode, Body: string(content)}
}
