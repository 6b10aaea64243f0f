package e2e_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func refusesWhatDoesNotFit(t *testing.T, v *version) {
	tests := map[string]struct{ body, names string }{
		"unknown field":      {`{"idd":"x"}`, "idd"},
		"wrong type":         {`{"id":"x","slowMs":"soon"}`, "slowMs"},
		"not an object":      {`["id"]`, "line 1"},
		"not JSON":           {`{"id":`, "Chain: unexpected EOF"},
		"field of its proto": {`{"slow_ms":1.5}`, "slow_ms"},
	}
	for name, test := range tests {
		t.Run("JSON: "+name, func(t *testing.T) {
			answer, err := v.JSON(patience(t), "steps.Steps/Chain", test.body)
			require.NoError(t, err)
			require.Equal(t, http.StatusBadRequest, answer.Status, answer.Body)
			require.Equal(t, codes.InvalidArgument, answer.GRPCCode())
			require.Contains(t, answer.Message(), test.names)
		})
	}
	t.Run("bytes over gRPC", func(t *testing.T) {
		err := v.GRPC(t).Conn.Invoke(patience(t), "/steps.Steps/Chain", []byte("\x0a\x7fcut off"), new([]byte), grpc.ForceCodec(plain{}))
		require.Equal(t, codes.InvalidArgument, status.Code(err), err)
		require.Contains(t, status.Convert(err).Message(), "steps.Request")
	})
}

func refusesWhatIsNotThere(t *testing.T, v *version) {
	for _, rpc := range []string{"/steps.Steps/Chian", "/steps.Stepz/Chain"} {
		t.Run("gRPC "+rpc, func(t *testing.T) {
			err := v.GRPC(t).Conn.Invoke(patience(t), rpc, []byte{}, new([]byte), grpc.ForceCodec(plain{}))
			require.Equal(t, codes.Unimplemented, status.Code(err), err)
		})
		t.Run("HTTP "+rpc, func(t *testing.T) {
			answer, err := v.Post(patience(t), rpc, "application/json", `{}`)
			require.NoError(t, err)
			require.Equal(t, http.StatusNotFound, answer.Status, answer.Body)
			require.Equal(t, codes.Unimplemented, answer.GRPCCode(), answer.Body)
			require.Contains(t, answer.Message(), "steps.Steps/Chain", "it should say what there is")
		})
	}
	t.Run("content type", func(t *testing.T) {
		answer, err := v.Post(patience(t), "/steps.Steps/Chain", "text/csv", "id\nx\n")
		require.NoError(t, err)
		require.Equal(t, http.StatusUnsupportedMediaType, answer.Status, answer.Body)
	})
}

func refusesWhatIsTooLarge(t *testing.T, v *version) {
	const large = 9 << 20 // the broker takes 8 MiB
	padding := strings.Repeat("AAAA", large/3)
	body := fmt.Sprintf(`{"id":"large","padding":%q}`, padding)

	answer, err := v.JSON(patience(t), "steps.Steps/Chain", body)
	require.NoError(t, err)
	require.Equal(t, codes.ResourceExhausted, answer.GRPCCode(), answer.Body)

	_, err = v.GRPC(t).Call(patience(t), "steps.Steps/Chain", body)
	require.Equal(t, codes.ResourceExhausted, status.Code(err), err)
	require.Empty(t, v.runs(t, "large"))
}

// plain passes bytes as they are.
type plain struct{}

func (plain) Marshal(v any) ([]byte, error) {
	body, ok := v.([]byte)
	if !ok {
		return nil, fmt.Errorf("%T are no bytes", v)
	}
	return body, nil
}

func (plain) Unmarshal(data []byte, v any) error {
	body, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("%T takes no bytes", v)
	}
	*body = data
	return nil
}

func (plain) Name() string { return "proto" }
