package httpapi

import (
	"encoding/json"
	"os"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestDump(t *testing.T) {
	d, err := document()
	require.NoError(t, err)
	var v any
	require.NoError(t, json.Unmarshal(d, &v))
	d, _ = json.MarshalIndent(v, "", " ")
	require.NoError(t, os.WriteFile("/tmp/dscratch/openapi.json", d, 0o600))
}
