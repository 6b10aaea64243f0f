package validate

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const fiveMistakes = `krtVersion: v2
version: Classificator_v1
workflows:
  - name: classificator
    entrypoint: Classificator
    exitpoint: exitpoint
    nodes:
      - name: etl
        image: konstellation/kre-py:latest
        src: src/etl/main.py
        replica: 1
        subscriptions: ["entrypoint"]
      - name: model
        image: konstellation/kre-py:latest
        src: src/modell/main.py
        subscriptions: ["etll"]
      - name: exitpoint
        image: konstellation/kre-py:latest
        src: src/exitpoint/main.py
        subscriptions: ["model"]
`

const proto = `syntax = "proto3";
service Demo {
  rpc Classifier(Request) returns (Request);
}
message Request {}
`

func project(t *testing.T, krt string) string {
	t.Helper()
	dir := t.TempDir()
	files := map[string]string{
		"krt.yml": krt, "public_input.proto": proto,
		"src/etl/main.py": "", "src/model/main.py": "", "src/exitpoint/main.py": "",
	}
	for name, content := range files {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return dir
}

func run(c Command) (string, error) {
	var out bytes.Buffer
	err := c.run(context.Background(), &out, false)
	return out.String(), err
}

func TestFiveMistakesAreFiveComplaintsWithLinesAndSuggestions(t *testing.T) {
	out, err := run(Command{Target: project(t, fiveMistakes)})
	require.EqualError(t, err, "krt.yml: 5 complaints")
	require.Equal(t, `version (line 2): bad name "Classificator_v1"; write lower-case letters, digits and dashes, a letter first and no dash last; e.g. "classificator-v1"
workflows[0].entrypoint (line 5): unknown rpc "Classificator" in public_input.proto; did you mean "Classifier"?
workflows[0].nodes[0].replica (line 11): unknown key "replica"; did you mean "replicas"?
workflows[0].nodes[1].src (line 15): "src/modell/main.py" is not in the package; did you mean "src/model/main.py"?
workflows[0].nodes[1].subscriptions[0] (line 16): unknown node "etll"; did you mean "etl"?
`, out)
}

func correct() string {
	return strings.NewReplacer("Classificator_v1", "classificator-v1", "entrypoint: Classificator", "entrypoint: Classifier",
		"replica:", "replicas:", "modell", "model", "etll", "etl").Replace(fiveMistakes)
}

func TestAValidVersionIsOneLine(t *testing.T) {
	out, err := run(Command{Target: project(t, correct())})
	require.NoError(t, err)
	require.Equal(t, "✓ krt.yml: version classificator-v1, format v2, 1 workflow, 3 nodes\n", out)
}

func TestWarningsAreShownAndNotRefused(t *testing.T) {
	dir := project(t, correct())
	more := strings.Replace(proto, "}\n", "  rpc Train(Request) returns (Request);\n}\n", 1)
	require.NoError(t, os.WriteFile(filepath.Join(dir, "public_input.proto"), []byte(more), 0o644))
	out, err := run(Command{Target: dir})
	require.NoError(t, err)
	require.Equal(t, `warning: public_input.proto (line 4): no workflow answers the rpc "Train"; callers are told that it is not implemented
✓ krt.yml: version classificator-v1, format v2, 1 workflow, 3 nodes, 1 warning
`, out)
}

func TestJSONHoldsTheSame(t *testing.T) {
	dir := project(t, fiveMistakes)
	out, err := run(Command{Target: dir, Output: "json"})
	require.EqualError(t, err, "krt.yml: 5 complaints")
	var got result
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.False(t, got.Valid)
	require.Equal(t, "Classificator_v1", got.Version)
	require.Len(t, got.Complaints, 5)
	require.Equal(t, "workflows[0].nodes[1].subscriptions[0]", got.Complaints[4].Path)
	require.Equal(t, 16, got.Complaints[4].Line)
	require.Equal(t, `unknown node "etll"; did you mean "etl"?`, got.Complaints[4].Message)

	out, err = run(Command{Target: project(t, correct()), Output: "json"})
	require.NoError(t, err)
	require.JSONEq(t, `{"manifest": "krt.yml", "version": "classificator-v1", "valid": true, "complaints": [], "warnings": []}`, out)
}

func TestWhatCannotBeReadIsAComplaintInJSONToo(t *testing.T) {
	out, err := run(Command{Target: "nothing", Output: "json"})
	require.ErrorContains(t, err, "nothing does not exist")
	var got result
	require.NoError(t, json.Unmarshal([]byte(out), &got))
	require.False(t, got.Valid)
	require.Equal(t, "nothing", got.Complaints[0].Path)

	out, err = run(Command{Target: "nothing"})
	require.ErrorContains(t, err, "nothing does not exist")
	require.Empty(t, out)
}

func TestAManifestThatIsNoYAMLIsOneComplaint(t *testing.T) {
	out, err := run(Command{Target: project(t, "version: [\n")})
	require.EqualError(t, err, "krt.yml: 1 complaint")
	require.True(t, strings.HasPrefix(out, "krt.yml (line 1): not YAML: "), out)
}
