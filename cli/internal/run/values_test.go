package run

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/manifest"
)

func TestTheCommandLineComesBeforeTheFile(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	declared := manifest.Config{Variables: []string{"A", "B"}, Files: []string{"C", "D"}}
	for _, name := range []string{"c.pem", "d.pem", "other.pem"} {
		require.NoError(t, os.WriteFile(name, nil, 0o600))
	}
	require.NoError(t, os.Mkdir("conf", 0o755))
	envFile := filepath.Join(dir, "conf", "values.env")
	require.NoError(t, os.WriteFile(envFile, []byte("A=file\nB=file\nC=../c.pem\nD=../d.pem\nUNRELATED=x\n"), 0o600))

	got, err := given{env: []string{"A=line"}, files: []string{"D=other.pem"}, envFile: envFile}.gather(declared)
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": "line", "B": "file"}, got.variables)
	require.Equal(t, map[string]string{
		"C": filepath.Join(dir, "c.pem"), "D": filepath.Join(dir, "other.pem"),
	}, got.files, "a path in the file is relative to that file")
}

func TestAllMissingValuesAreNamedAtOnceWithHowToGiveThem(t *testing.T) {
	_, err := given{envFile: "/project/.env"}.gather(manifest.Config{Variables: []string{"A", "B"}, Files: []string{"C"}})
	require.EqualError(t, err, `the configuration is not complete: A, B, C
  --env A=VALUE   or a line A=VALUE in /project/.env
  --env B=VALUE   or a line B=VALUE in /project/.env
  --file C=PATH   or a line C=PATH in /project/.env`)
}

func TestAnEmptyValueIsAValue(t *testing.T) {
	got, err := given{env: []string{"A="}}.gather(manifest.Config{Variables: []string{"A"}})
	require.NoError(t, err)
	require.Equal(t, map[string]string{"A": ""}, got.variables)
}

func TestRefusesValuesThatCannotBeMeant(t *testing.T) {
	declared := manifest.Config{Variables: []string{"A"}, Files: []string{"C"}}
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.env")
	require.NoError(t, os.WriteFile(bad, []byte("A=b\nnonsense\n"), 0o600))
	tests := map[string]struct {
		given given
		want  string
	}{
		"undeclared":           {given{env: []string{"B=x"}}, "B is given but not declared: config.variables of the manifest holds A"},
		"a file as a variable": {given{env: []string{"C=x"}}, "C is given but not declared: config.variables of the manifest holds A"},
		"no form":              {given{files: []string{"C"}}, `"C" is not of the form --file KEY=PATH`},
		"missing file":         {given{env: []string{"A=x"}, files: []string{"C=" + dir + "/none"}}, "the file for C: stat " + dir + "/none: no such file or directory"},
		"a folder":             {given{env: []string{"A=x"}, files: []string{"C=" + dir}}, "the file for C: " + dir + " is no file"},
		"unreadable .env":      {given{envFile: bad}, bad + `: line 2: "nonsense" is no KEY=VALUE`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := test.given.gather(declared)
			require.EqualError(t, err, test.want)
		})
	}
}
