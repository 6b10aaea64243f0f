package archive_test

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

func packed(sources []archive.Source) []string {
	names := make([]string, 0, len(sources))
	for _, s := range sources {
		names = append(names, s.Path)
	}
	return names
}

func link(t *testing.T, root, name, target string) {
	t.Helper()
	name = filepath.Join(root, filepath.FromSlash(name))
	require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
	require.NoError(t, os.Symlink(target, name))
}

func TestLeavesOutWhatNoPackageShouldHold(t *testing.T) {
	root := write(t, map[string]string{
		"krt.yml": "", "src/main.py": "", ".env.example": "", "certs/ca.pem": "-----BEGIN CERTIFICATE-----",
		".git/config": "", ".env": "", ".env.production": "", ".envrc": "", ".venv/bin/python": "",
		"src/__pycache__/main.cpython-312.pyc": "", "src/old.pyc": "", ".pytest_cache/x": "", ".DS_Store": "",
		"certs/server.key": "", "certs/server.pem": "-----BEGIN PRIVATE KEY-----", "certs/rsa.PEM": "-----BEGIN RSA PRIVATE KEY-----",
		"certs/store.p12": "", "keys/id_ed25519": "", "keys/id_ed25519.pub": "", "nats.creds": "", ".netrc": "",
		"own-env/pyvenv.cfg": "", "own-env/bin/python": "", "old-v1.krt": "", "sub/kept.krt": "", ".kre/gen/python/x_pb2.py": "",
	})
	t.Chdir(root) // a socket's path is short
	socket, err := net.Listen("unix", "socket")
	require.NoError(t, err)
	defer socket.Close() //nolint:errcheck // it only has to be there

	sources, left, err := archive.Scan(root)
	require.NoError(t, err)
	require.Equal(t, []string{
		".env.example", "certs/ca.pem", "keys/id_ed25519.pub", "krt.yml", "src/main.py", "sub/kept.krt",
	}, packed(sources))
	require.Equal(t, []archive.LeftOut{
		{Path: ".DS_Store", Reason: "cache"},
		{Path: ".env", Reason: "environment"},
		{Path: ".env.production", Reason: "environment"},
		{Path: ".envrc", Reason: "environment"},
		{Path: ".git/", Reason: "version control"},
		{Path: ".kre/", Reason: "kre's own"},
		{Path: ".netrc", Reason: "key or password"},
		{Path: ".pytest_cache/", Reason: "cache"},
		{Path: ".venv/", Reason: "environment"},
		{Path: "certs/rsa.PEM", Reason: "key or password"},
		{Path: "certs/server.key", Reason: "key or password"},
		{Path: "certs/server.pem", Reason: "key or password"},
		{Path: "certs/store.p12", Reason: "key or password"},
		{Path: "keys/id_ed25519", Reason: "key or password"},
		{Path: "nats.creds", Reason: "key or password"},
		{Path: "old-v1.krt", Reason: "another package"},
		{Path: "own-env/", Reason: "environment"},
		{Path: "socket", Reason: "neither file nor folder"},
		{Path: "src/__pycache__/", Reason: "cache"},
		{Path: "src/old.pyc", Reason: "cache"},
	}, left)
}

// The rules of .gitignore, as git itself applies them.
func TestTheIgnoreFileMeansWhatGitMeans(t *testing.T) {
	git, err := exec.LookPath("git")
	require.NoError(t, err, "git is needed to compare with")
	rules := strings.Join([]string{
		"# a comment", "", "*.log", "!keep.log", "/data/raw/", "build/", "foo/*", "!foo/keep", "**/deep/x", "a/**/z",
		`\#hash`, `\!bang`, "dir/**", "[ab]c.txt", "q?.md", "closed/", "!closed/but-this", "spaced  ",
	}, "\n")
	files := map[string]string{"krt.yml": "", ".gitignore": rules, archive.IgnoreFile: rules}
	for _, name := range []string{
		"x.log", "sub/x.log", "keep.log", "sub/keep.log", "data/raw/a", "sub/data/raw/a", "sub/build/a", "build2/build",
		"foo/drop", "foo/keep", "deep/x", "p/q/deep/x", "a/z", "a/b/c/z", "#hash", "!bang", "dir/a", "dir/b/c",
		"ac.txt", "k/bc.txt", "cc.txt", "q1.md", "q/x.md", "closed/but-this", "spaced", "plain",
	} {
		files[name] = ""
	}
	root := write(t, files)
	run := func(args ...string) string {
		cmd := exec.Command(git, args...)
		cmd.Dir = root
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	run("init", "--quiet")
	want := strings.Fields(run("-c", "core.quotePath=false", "ls-files", "--others", "--exclude-standard"))
	sources, _, err := archive.Scan(root)
	require.NoError(t, err)
	require.ElementsMatch(t, want, packed(sources))
}

func TestWhatIsAlwaysLeftOutCannotBeHadBack(t *testing.T) {
	root := write(t, map[string]string{"krt.yml": "", ".env": "", archive.IgnoreFile: "!.env\n"})
	sources, _, err := archive.Scan(root)
	require.NoError(t, err)
	require.Equal(t, []string{archive.IgnoreFile, "krt.yml"}, packed(sources))
}

func TestALinkInsideTheProjectCountsAsWhatItPointsTo(t *testing.T) {
	root := write(t, map[string]string{"krt.yml": "", "models/v2/m.bin": "model", "bin/real*": ""})
	link(t, root, "models/current", "v2")
	link(t, root, "src/node", "../bin/real")
	sources, left, err := archive.Scan(root)
	require.NoError(t, err)
	require.Empty(t, left)
	require.Equal(t, []string{"bin/real", "krt.yml", "models/current/m.bin", "models/v2/m.bin", "src/node"}, packed(sources))
	require.True(t, sources[4].Executable)

	output := filepath.Join(t.TempDir(), "x.krt")
	p, err := archive.Pack(t.Context(), root, output, archive.PackOptions{})
	require.NoError(t, err)
	require.Equal(t, p.Files[3].SHA256, p.Files[2].SHA256)
}

func TestALinkDoesNotBringInWhatIsLeftOut(t *testing.T) {
	root := write(t, map[string]string{"krt.yml": "", ".env": "SECRET=1", ".git/config": "", "k.pem": "-----BEGIN PRIVATE KEY-----"})
	link(t, root, "settings", ".env")
	link(t, root, "config", ".git/config")
	link(t, root, "certificate", "k.pem")
	sources, left, err := archive.Scan(root)
	require.NoError(t, err)
	require.Equal(t, []string{"krt.yml"}, packed(sources))
	require.Len(t, left, 6)
}

func TestLinksThatCannotBeStored(t *testing.T) {
	outside := write(t, map[string]string{"secret": ""})
	for name, c := range map[string]struct{ target, text string }{
		"leaving": {filepath.Join(outside, "secret"), `read the project: link "here" leaves the project: it points to "` +
			filepath.Join(outside, "secret") + `". Put what is meant into the project, or list the link in .krtignore`},
		"leaving by ..": {"..", `read the project: link "here" leaves the project: it points to "..". ` +
			`Put what is meant into the project, or list the link in .krtignore`},
		"dangling": {"nowhere", `read the project: link "here" points to "nowhere", which cannot be found: ` +
			`mend it, or list it in .krtignore`},
		"round": {".", `read the project: link "here" points to ".", a folder that holds it: list it in .krtignore`},
	} {
		t.Run(name, func(t *testing.T) {
			root := write(t, map[string]string{"krt.yml": ""})
			link(t, root, "here", c.target)
			_, _, err := archive.Scan(root)
			require.ErrorIs(t, err, archive.ErrLink)
			require.EqualError(t, err, c.text)

			require.NoError(t, os.WriteFile(filepath.Join(root, archive.IgnoreFile), []byte("here\n"), 0o644))
			_, _, err = archive.Scan(root)
			require.NoError(t, err, "a link that is left out does no harm")
		})
	}
}

func TestALinkedVirtualEnvironmentIsLeftOut(t *testing.T) {
	root := write(t, map[string]string{"krt.yml": ""})
	link(t, root, ".venv", t.TempDir())
	sources, left, err := archive.Scan(root)
	require.NoError(t, err)
	require.Equal(t, []string{"krt.yml"}, packed(sources))
	require.Equal(t, []archive.LeftOut{{Path: ".venv", Reason: "environment"}}, left)
}
