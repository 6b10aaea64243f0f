package initproject

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/manifest"
)

// makeProject runs the command and returns the folder of the project and what was printed.
func makeProject(t *testing.T, name string, language Language) (dir, printed string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), name)
	var out bytes.Buffer
	require.NoError(t, (&Command{Dir: dir, Language: language}).run(t.Context(), &out))
	return dir, out.String()
}

func requireValid(t *testing.T, dir string) {
	t.Helper()
	_, problems, err := manifest.Load(manifest.Project(os.DirFS(dir)), "krt.yml")
	require.NoError(t, err)
	require.Empty(t, problems, "neither complaints nor warnings")
}

func TestAPythonProjectIsValidAndPassesItsTests(t *testing.T) {
	t.Setenv("KRE_CACHE", t.TempDir())
	dir, printed := makeProject(t, "demo", Python)
	require.Equal(t, strings.Join([]string{
		"demo  krt.yml public_input.proto src/greet/main.py tests/test_greet.py README.md .env .venv",
		"next  cd " + dir,
		"      kre run",
		`      kre call Greet '{"name":"Ada"}'    in another terminal`,
		"      .venv/bin/python -m pytest",
		"",
	}, "\n"), printed)
	requireValid(t, dir)

	tests := exec.Command(filepath.Join(dir, ".venv/bin/python"), "-m", "pytest", "-q", "-p", "no:cacheprovider")
	tests.Dir = dir
	output, err := tests.CombinedOutput()
	require.NoError(t, err, "%s", output)
	require.Contains(t, string(output), "3 passed")
}

func TestAGoProjectIsValidAndPassesItsTests(t *testing.T) {
	dir, printed := makeProject(t, "my-demo", Go)
	require.Contains(t, printed, "my-demo  krt.yml public_input.proto cmd/greet/main.go cmd/greet/main_test.go README.md .env pb/ go.mod\n")
	require.Contains(t, printed, "go test ./...\n")
	requireValid(t, dir)

	for _, args := range [][]string{{"vet", "./..."}, {"test", "./..."}} {
		command := exec.Command("go", args...)
		command.Dir = dir
		command.Env = append(os.Environ(), "GOWORK=off")
		output, err := command.CombinedOutput()
		require.NoError(t, err, "%s", output)
	}
}

func TestAFolderThatHoldsSomethingIsRefusedAndLeftAsItIs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "krt.yml"), []byte("mine"), 0o644))
	err := (&Command{Dir: dir, Language: Go}).run(t.Context(), new(bytes.Buffer))
	require.ErrorContains(t, err, "is not empty: choose another name, or add --force to keep what is there and add what is missing")
	entries, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, entries, 1)
}

func TestForceKeepsWhatIsThere(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "demo")
	require.NoError(t, os.Mkdir(dir, 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "README.md"), []byte("mine"), 0o644))
	var out bytes.Buffer
	require.NoError(t, (&Command{Dir: dir, Language: Go, Force: true}).run(t.Context(), &out))
	content, err := os.ReadFile(filepath.Join(dir, "README.md"))
	require.NoError(t, err)
	require.Equal(t, "mine", string(content))
	require.Contains(t, out.String(), "kept  README.md\n")
	require.FileExists(t, filepath.Join(dir, "cmd/greet/main.go"))
}

func TestNamesAreMadeToFit(t *testing.T) {
	tests := []struct{ base, name, protoPackage string }{
		{"demo", "demo", "demo"},
		{"My Demo_2", "my-demo-2", "my_demo_2"},
		{"--x--", "x", "x"},
		{strings.Repeat("long-", 10), "long-long-long-long-long-long-long-lo", "long_long_long_long_long_long_long_lo"},
	}
	for _, test := range tests {
		n, err := namesOf(test.base, Python)
		require.NoError(t, err)
		require.Equal(t, test.name, n.Name)
		require.Equal(t, test.protoPackage, n.ProtoPackage)
		for _, language := range []Language{Python, Go} {
			_, err = render(n, language)
			require.NoError(t, err)
		}
	}
}

func TestANameWithoutALetterAtItsBeginningIsRefused(t *testing.T) {
	for _, base := range []string{"2024", "...", "é"} {
		_, err := namesOf(base, Python)
		require.ErrorContains(t, err, "cannot name a project: it should begin with a letter and hold letters, digits and dashes")
	}
}
