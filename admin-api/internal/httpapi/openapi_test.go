package httpapi

import (
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"testing"

	"github.com/stretchr/testify/require"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

var writeTo = flag.String("openapi", "", "file to write the OpenAPI document to, for generators and validators")

type described struct {
	OperationID string `json:"operationId"`
	Tags        []string
	Parameters  []struct {
		Name, In string
	}
	Responses map[string]struct {
		Content map[string]any
	}
}

func read(t *testing.T) (text string, paths map[string]map[string]described, schemas map[string]any) {
	t.Helper()
	document, err := document()
	require.NoError(t, err)
	if *writeTo != "" {
		require.NoError(t, os.WriteFile(*writeTo, document, 0o644))
	}
	var whole struct {
		Paths      map[string]map[string]described
		Components struct{ Schemas map[string]any }
	}
	require.NoError(t, json.Unmarshal(document, &whole))
	return string(document), whole.Paths, whole.Components.Schemas
}

func TestEveryRPCIsDescribedOnce(t *testing.T) {
	_, paths, _ := read(t)
	described := map[string]int{}
	for path, operations := range paths {
		for _, operation := range operations {
			described[operation.OperationID]++
			for _, parameter := range operation.Parameters {
				if parameter.In == "path" {
					require.Contains(t, path, "{"+parameter.Name+"}", operation.OperationID)
				}
			}
		}
	}
	count := 0
	for _, services := range []interface{ Len() int }{
		adminv1.File_kre_admin_v1_runtime_service_proto.Services().Get(0).Methods(),
		adminv1.File_kre_admin_v1_version_service_proto.Services().Get(0).Methods(),
	} {
		count += services.Len()
	}
	require.Len(t, described, count)
	for id, times := range described {
		require.Equal(t, 1, times, id)
	}
}

func TestPathsNameWhatTheyAreAbout(t *testing.T) {
	_, paths, _ := read(t)
	require.Equal(t, "ListVersions", paths["/v1/runtimes/{runtime}/versions"]["get"].OperationID)
	require.Equal(t, "UploadVersion", paths["/v1/runtimes/{runtime}/versions"]["post"].OperationID)
	require.Equal(t, "StartVersion", paths["/v1/runtimes/{runtime}/versions/{version}:start"]["post"].OperationID)
	require.Equal(t, "TailLogs", paths["/v1/runtimes/{runtime}/versions/{version}/logs:tail"]["get"].OperationID)
	require.Contains(t, paths["/v1/runtimes/{runtime}:watch"]["get"].Responses["200"].Content, "application/x-ndjson")
	for path := range paths {
		require.Regexp(t, `^/v1/runtimes(/\{runtime\}(/versions(/\{version\}(/[a-z]+)?)?|/activities)?)?(:[a-z]+)?$`, path)
	}
}

func TestEveryReferenceLeadsToASchema(t *testing.T) {
	text, _, schemas := read(t)
	references := regexp.MustCompile(`"#/components/schemas/([^"]+)"`).FindAllStringSubmatch(text, -1)
	require.NotEmpty(t, references)
	for _, reference := range references {
		require.Contains(t, schemas, reference[1])
	}
	for name := range schemas {
		require.NotContains(t, name, ".")
	}
}
