package archive_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

func TestExtraFilesGoInBesideTheProjectsOrInPlaceOfOne(t *testing.T) {
	project := write(t, map[string]string{"krt.yml": "", "bin/x": "script"})
	made := write(t, map[string]string{"x": "\x7fELF", "w": "wheel"})
	extra := []archive.Source{
		{Path: "bin/x", Name: filepath.Join(made, "x"), Executable: true, Size: 4},
		{Path: ".kre/wheels/w.whl", Name: filepath.Join(made, "w"), Size: 5},
	}
	output := filepath.Join(t.TempDir(), "x.krt")
	p, err := archive.Pack(t.Context(), project, output, archive.PackOptions{Extra: extra})
	require.NoError(t, err)
	require.Equal(t, []string{".kre/wheels/w.whl", "bin/x", "krt.yml"}, paths(p.Files))
	require.True(t, p.Files[1].Executable)
	require.EqualValues(t, 4, p.Files[1].Size)
}

func TestThePackageThatIsWrittenIsNotInItself(t *testing.T) {
	project := write(t, map[string]string{"krt.yml": "", "out/x": "from before"})
	output := filepath.Join(project, "out", "x")
	for range 2 {
		p, err := archive.Pack(t.Context(), project, output, archive.PackOptions{})
		require.NoError(t, err)
		require.Equal(t, []string{"krt.yml"}, paths(p.Files))
	}
}

func TestAProjectThatMakesNoPackageIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		extra []archive.Source
		text  string
	}{
		"no manifest": {
			files: map[string]string{"a": ""},
			text:  "the package has no manifest: one of krt.yml, krt.yaml, kre.yaml, kre.yml must be at its root",
		},
		"two manifests": {
			files: map[string]string{"krt.yml": "", "kre.yml": ""},
			text:  "the package has two manifests, kre.yml and krt.yml: keep one",
		},
		"a name that means something else elsewhere": {
			files: map[string]string{"krt.yml": "", `a\b`: ""},
			text:  `entry "a\\b" has a backslash in its name, which leaves the package's root on some systems`,
		},
		"an extra file outside": {
			files: map[string]string{"krt.yml": ""}, extra: []archive.Source{{Path: "./x"}},
			text: `"./x" is not the plain path of a file`,
		},
		"an extra file that is not there": {
			files: map[string]string{"krt.yml": ""}, extra: []archive.Source{{Path: "x", Name: "/nowhere/x"}},
			text: "pack x: open /nowhere/x: no such file or directory",
		},
	} {
		t.Run(name, func(t *testing.T) {
			output := filepath.Join(t.TempDir(), "x.krt")
			_, err := archive.Pack(t.Context(), write(t, c.files), output, archive.PackOptions{Extra: c.extra})
			require.EqualError(t, err, c.text)
			require.Empty(t, leftBehind(t, output))
		})
	}
}

func TestAFileThatChangesMeanwhileIsToldOf(t *testing.T) {
	dir := write(t, map[string]string{"krt.yml": "12345"})
	for _, size := range []int64{4, 6} {
		var out bytes.Buffer
		_, err := archive.Write(t.Context(), &out, []archive.Source{
			{Path: "krt.yml", Name: filepath.Join(dir, "krt.yml"), Size: size},
		}, nil)
		require.EqualError(t, err, "pack krt.yml: the file changed while it was packed: pack again")
	}
}

func TestAFailedPackLeavesTheOldOneAlone(t *testing.T) {
	output := filepath.Join(write(t, map[string]string{"x.krt": "old"}), "x.krt")
	_, err := archive.Pack(t.Context(), t.TempDir(), output, archive.PackOptions{})
	require.ErrorIs(t, err, archive.ErrNoManifest)
	text, err := os.ReadFile(output)
	require.NoError(t, err)
	require.Equal(t, "old", string(text))
	require.Equal(t, []string{"x.krt"}, leftBehind(t, output))
}
