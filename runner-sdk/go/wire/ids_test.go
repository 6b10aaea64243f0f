package wire_test

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestIDsAreThoseOfTheSpecification(t *testing.T) {
	data, err := os.ReadFile("../../spec/vectors.json")
	require.NoError(t, err)
	var vectors []struct {
		MessageID, Workflow, Node, RunID string
		Resend                           int
		OutputIDs                        []string
	}
	require.NoError(t, json.Unmarshal(data, &vectors))
	require.NotEmpty(t, vectors)
	for _, v := range vectors {
		run := wire.RunID(v.MessageID, v.Workflow, v.Node, v.Resend)
		require.Equal(t, v.RunID, run)
		for i, want := range v.OutputIDs {
			require.Equal(t, want, wire.OutputID(run, i))
		}
	}
}
