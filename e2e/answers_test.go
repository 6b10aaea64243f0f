package e2e_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/konstellation-io/kre/e2e/harness"
)

// requestID is the shape of the platform's request ids: a ULID.
const requestID = `^[0-7][0-9A-HJKMNP-TV-Z]{25}$`

func answersOverBoth(t *testing.T, v *version) {
	var header metadata.MD
	overGRPC, err := v.GRPC(t).Call(patience(t), "steps.Steps/Chain", `{"id":"g"}`, grpc.Header(&header))
	require.NoError(t, err)
	require.JSONEq(t, `{"id":"g","path":["first","second","third"]}`, overGRPC)
	require.Len(t, header.Get("x-request-id"), 1)
	require.Regexp(t, requestID, header.Get("x-request-id")[0])

	overHTTP, err := v.JSON(patience(t), "steps.Steps/Chain", `{"id":"h"}`)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, overHTTP.Status, overHTTP.Body)
	require.JSONEq(t, `{"id":"h","path":["first","second","third"],"note":""}`, overHTTP.Body)
	require.Regexp(t, requestID, overHTTP.RequestID)
	require.NotEqual(t, header.Get("x-request-id")[0], overHTTP.RequestID)
}

func isDescribedByReflection(t *testing.T, v *version) {
	grpcurl := harness.Tool(t, "grpcurl", "KRE_TEST_GRPCURL")
	listed, problems, code := harness.Command(t, t.TempDir(), grpcurl, "-plaintext", v.Info.GRPC, "list")
	require.Zero(t, code, problems)
	require.Contains(t, strings.Fields(listed), "steps.Steps")

	described, problems, code := harness.Command(t, t.TempDir(), grpcurl, "-plaintext", v.Info.GRPC, "describe", "steps.Steps")
	require.Zero(t, code, problems)
	require.Contains(t, described, "rpc Chain ( .steps.Request ) returns ( .steps.Response );")

	answer, problems, code := harness.Command(t, t.TempDir(), grpcurl, "-plaintext", "-d", `{"id":"c"}`,
		v.Info.GRPC, "steps.Steps/Chain")
	require.Zero(t, code, problems)
	require.JSONEq(t, `{"id":"c","path":["first","second","third"]}`, answer)
}

func answersCurl(t *testing.T, v *version) {
	answer, problems, code := harness.Command(t, t.TempDir(), harness.Tool(t, "curl", "KRE_TEST_CURL"), "-sS", "--fail-with-body",
		"--json", `{"id":"u"}`, v.Info.HTTP+"/steps.Steps/Chain")
	require.Zero(t, code, problems)
	require.JSONEq(t, `{"id":"u","path":["first","second","third"],"note":""}`, answer)
}

func answersKreCall(t *testing.T, v *version) {
	answer := harness.MustKre(t, v.project.Dir, "call", "Chain", `{"id":"k"}`)
	require.JSONEq(t, `{"id":"k","path":["first","second","third"],"note":""}`, strings.SplitAfter(answer, "\n")[0])
}

// It runs last: the rules before it leave their dead letters.
func keepsWhatFailed(t *testing.T, v *version) {
	_, err := v.GRPC(t).Call(patience(t), "steps.Steps/Chain", `{"id":"kept","failFinal":"second"}`)
	require.Error(t, err)
	v.Broker(t).WaitIdle(t)
	var kept []string
	for _, letter := range v.Broker(t).Messages(t, "dead_") {
		if strings.Contains(letter.Header.Get("Kre-Error"), "never kept") {
			kept = append(kept, filepath.Ext(letter.Subject))
			require.Equal(t, "1", letter.Header.Get("Kre-Attempts"))
			require.Regexp(t, requestID, letter.Header.Get("Kre-Request-Id"))
		}
	}
	require.Equal(t, []string{".second"}, kept)
}
