package pyenv_test

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/carried"
	"github.com/konstellation-io/kre/host/pyenv"
)

// write puts files into a folder.
func write(t *testing.T, root string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		name = filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(name), 0o755))
		require.NoError(t, os.WriteFile(name, []byte(text), 0o644))
	}
}

func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	write(t, root, files)
	return root
}

// wheel is a wheel of one module, with whatever else it is to hold.
func wheel(t *testing.T, project, version string, more map[string]string) []byte {
	t.Helper()
	info := project + "-" + version + ".dist-info/"
	files := map[string]string{
		project + ".py":   "version = " + fmt.Sprintf("%q", version) + "\n\n\ndef main():\n    print('" + project + " runs')\n",
		info + "METADATA": "Metadata-Version: 2.1\nName: " + project + "\nVersion: " + version + "\n",
		info + "WHEEL":    "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
		info + "RECORD":   "",
	}
	for name, text := range more {
		files[name] = text
	}
	var out bytes.Buffer
	w := zip.NewWriter(&out)
	for name, text := range files {
		f, err := w.Create(name)
		require.NoError(t, err)
		_, err = f.Write([]byte(text))
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes()
}

func hash(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// offline makes sure that no package index can be reached.
func offline(t *testing.T) {
	t.Helper()
	for _, name := range []string{"PIP_INDEX_URL", "UV_DEFAULT_INDEX", "https_proxy", "HTTPS_PROXY", "http_proxy", "HTTP_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:9")
	}
	t.Setenv("PIP_NO_INDEX", "1")
}

// run answers what the interpreter prints.
func run(t *testing.T, program string, args ...string) string {
	t.Helper()
	out, err := exec.Command(program, args...).CombinedOutput()
	require.NoError(t, err, string(out))
	return strings.TrimSpace(string(out))
}

// target answers what wheels have to be packed for to run here: platform and tag of the Python.
func target(t *testing.T) (platform, tag string) {
	t.Helper()
	found, err := pyenv.Find(t.Context(), "", t.TempDir())
	require.NoError(t, err)
	require.Equal(t, runtime.GOOS+"/"+runtime.GOARCH, found.Platform)
	return found.Platform, found.Tag
}

// packed is an unpacked package whose node src/main.py needs the wheel.
func packed(t *testing.T, name string, data []byte, platform, tag, digest string) string {
	t.Helper()
	project, version, _ := strings.Cut(strings.TrimSuffix(name, "-py3-none-any.whl"), "-")
	return folder(t, map[string]string{
		"src/main.py":      "",
		"requirements.txt": project + "\n",
		"requirements.lock": "# Made by kre from requirements.txt: do not edit. Delete it to have newer versions chosen.\n" +
			"# platform: " + platform + "\n# python: " + tag + "\n# inputs: sha256:0\n" +
			project + "==" + version + " \\\n    --hash=sha256:" + strings.Repeat("1", 64) + " \\\n    --hash=sha256:" + digest + "\n",
		".kre/wheels/" + strings.ReplaceAll(platform, "/", "-") + "-" + tag + "/" + name: string(data),
	})
}

func TestANodeWithoutRequirementsGetsTheSDKWithoutANetwork(t *testing.T) {
	offline(t)
	cache := t.TempDir()
	for _, packed := range []bool{false, true} {
		root := folder(t, map[string]string{"src/main.py": "", "src/requirements.txt": "# nothing\n\n"})
		python, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/main.py", Packed: packed, Cache: cache})
		require.NoError(t, err)
		require.Equal(t, "ok", run(t, python, "-c", "import kre, google.protobuf.any_pb2; print('ok')"))
		require.NoFileExists(t, filepath.Join(root, "src", "requirements.lock"))
	}
	made, err := filepath.Glob(filepath.Join(cache, "venvs", "*", "bin"))
	require.NoError(t, err)
	require.Len(t, made, 1, "what is made from the same is the same")
}

func TestAnEnvironmentThatIsThereIsNotTouched(t *testing.T) {
	opts := pyenv.Options{Root: t.TempDir(), Src: "main.py", Cache: t.TempDir()}
	python, err := pyenv.Ensure(t.Context(), opts)
	require.NoError(t, err)
	mine := filepath.Join(filepath.Dir(python), "mine")
	require.NoError(t, os.WriteFile(mine, nil, 0o644))
	again, err := pyenv.Ensure(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, python, again)
	require.FileExists(t, mine)
}

func TestAnEnvironmentThatWasNotFinishedIsMadeAgain(t *testing.T) {
	opts := pyenv.Options{Root: t.TempDir(), Src: "main.py", Cache: t.TempDir()}
	python, err := pyenv.Ensure(t.Context(), opts)
	require.NoError(t, err)
	dir := filepath.Dir(filepath.Dir(python))
	require.NoError(t, os.Remove(filepath.Join(dir, ".kre-ready")))
	require.NoError(t, os.Remove(python))
	again, err := pyenv.Ensure(t.Context(), opts)
	require.NoError(t, err)
	require.Equal(t, python, again)
	require.Equal(t, "ok", run(t, python, "-c", "import kre; print('ok')"))
}

func TestManyMayAskForTheSameEnvironmentAtOnce(t *testing.T) {
	opts := pyenv.Options{Root: t.TempDir(), Src: "main.py", Cache: t.TempDir()}
	var group sync.WaitGroup
	pythons := make([]string, 4)
	for i := range pythons {
		group.Go(func() {
			var err error
			pythons[i], err = pyenv.Ensure(t.Context(), opts)
			assert.NoError(t, err)
		})
	}
	group.Wait()
	for _, python := range pythons {
		require.Equal(t, pythons[0], python)
	}
	require.Equal(t, "ok", run(t, pythons[0], "-c", "import kre; print('ok')"))
}

func TestADevelopersEnvironmentHasPytest(t *testing.T) {
	offline(t)
	root := folder(t, map[string]string{"tests/test_it.py": "def test_it():\n    assert True\n"})
	python, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "main.py", Dev: true, Cache: t.TempDir()})
	require.NoError(t, err)
	require.NoError(t, pyenv.Link(root, python))
	linked := filepath.Join(root, ".venv", "bin", "python")
	require.Contains(t, run(t, linked, "-m", "pytest", "-p", "no:cacheprovider", root), "1 passed")
	require.Contains(t, run(t, filepath.Join(root, ".venv", "bin", "pytest"), "--version"), "pytest")
}

func TestALinkIsRenewedAndAFolderOfTheUsersIsNot(t *testing.T) {
	root := t.TempDir()
	link := filepath.Join(root, ".venv")
	for _, target := range []string{"/cache/venvs/a", "/cache/venvs/b", "/cache/venvs/b"} {
		require.NoError(t, pyenv.Link(root, target+"/bin/python"))
		got, err := os.Readlink(link)
		require.NoError(t, err)
		require.Equal(t, target, got)
	}
	require.NoError(t, os.Remove(link))
	write(t, root, map[string]string{".venv/pyvenv.cfg": "mine"})
	require.NoError(t, pyenv.Link(root, "/cache/venvs/a/bin/python"))
	require.FileExists(t, filepath.Join(link, "pyvenv.cfg"))
}

func TestAPackedNodeGetsTheWheelsInItsPackageWithoutANetwork(t *testing.T) {
	offline(t)
	platform, tag := target(t)
	data := wheel(t, "greeting", "1.2", map[string]string{
		"greeting-1.2.dist-info/entry_points.txt": "[console_scripts]\ngreet = greeting:main\n",
		"greeting-1.2.data/scripts/greet-too":     "#!python\nimport greeting\ngreeting.main()\n",
		"greeting-1.2.data/purelib/more.py":       "x = 1\n",
		"greeting-1.2.data/data/share/g.txt":      "shared",
	})
	root := packed(t, "greeting-1.2-py3-none-any.whl", data, platform, tag, hash(data))
	python, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/main.py", Packed: true, Cache: t.TempDir()})
	require.NoError(t, err)
	bin := filepath.Dir(python)
	require.Equal(t, "1.2 1", run(t, python, "-c", "import greeting, more, kre; print(greeting.version, more.x)"))
	require.Equal(t, "greeting runs", run(t, filepath.Join(bin, "greet")))
	require.Equal(t, "greeting runs", run(t, filepath.Join(bin, "greet-too")))
	require.FileExists(t, filepath.Join(bin, "..", "share", "g.txt"))
}

func TestAPackageForAnotherPythonIsRefusedByName(t *testing.T) {
	platform, tag := target(t)
	data := wheel(t, "greeting", "1.2", nil)
	for _, other := range [][2]string{{"plan9/mips", tag}, {platform, "cp309"}} {
		root := packed(t, "greeting-1.2-py3-none-any.whl", data, other[0], other[1], hash(data))
		_, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/main.py", Packed: true, Cache: t.TempDir()})
		require.EqualError(t, err, fmt.Sprintf("src/main.py is packed for %s-%s, this is %s-%s: "+
			"name a Python that fits in KRE_PYTHON, or pack it again here", other[0], other[1], platform, tag))
	}
}

func TestAPackageWithoutTheWheelsThatItAsksForSaysSo(t *testing.T) {
	root := folder(t, map[string]string{"src/main.py": "", "requirements.txt": "greeting\n"})
	var said []string
	_, err := pyenv.Ensure(t.Context(), pyenv.Options{
		Root: root, Src: "src/main.py", Packed: true, Cache: t.TempDir(), Say: func(msg string) { said = append(said, msg) },
	})
	require.NoError(t, err)
	require.Equal(t, []string{"the package carries no wheels of what requirements.txt asks for (packed with --no-vendor?): " +
		"src/main.py starts with what the SDK needs"}, said)
}

func TestAWheelThatIsNotTheLockedOneIsRefused(t *testing.T) {
	platform, tag := target(t)
	data := wheel(t, "greeting", "1.2", nil)
	root := packed(t, "greeting-1.2-py3-none-any.whl", data, platform, tag, strings.Repeat("2", 64))
	cache := t.TempDir()
	_, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/main.py", Packed: true, Cache: cache})
	require.EqualError(t, err, fmt.Sprintf(".kre/wheels/%s-%s holds no wheel of greeting 1.2 with a hash that "+
		"requirements.lock lists: pack it again", strings.ReplaceAll(platform, "/", "-"), tag))
	require.Empty(t, environments(t, cache))
}

func TestAWheelWritesNothingOutsideOfItsEnvironment(t *testing.T) {
	platform, tag := target(t)
	outside := t.TempDir()
	scripts := func(name string) map[string]string {
		return map[string]string{"greeting-1.2.dist-info/entry_points.txt": "[console_scripts]\n" + name + " = greeting:main\n"}
	}
	up := strings.Repeat("../", 20) + strings.TrimPrefix(outside, "/")
	for name, hostile := range map[string]map[string]string{
		"a path upwards":                   {"../../../../outside.py": ""},
		"a path from the root":             {outside + "/outside.py": ""},
		"a path upwards in its data":       {"greeting-1.2.data/data/../../outside.py": ""},
		"a path from the root in its data": {"greeting-1.2.data/data/" + outside + "/outside.py": ""},
		"the same for scripts":             {"greeting-1.2.data/scripts/" + outside + "/outside.py": ""},
		"the same for headers":             {"greeting-1.2.data/headers/" + outside + "/outside.py": ""},
		"a place that there is none of":    {"greeting-1.2.data/elsewhere/outside.py": ""},
		"a file called as its data":        {"greeting-1.2.data": ""},
		"a path around its data":           {"./greeting-1.2.data/data/outside.py": ""},
		"a path with backslashes":          {`..\..\outside.py`: ""},
		"a script upwards":                 scripts(up + "/outside.py"),
		"a script upwards by a little":     scripts("../../outside.py"),
		"a script from the root":           scripts(outside + "/outside.py"),
		"the interpreter, which is a link": {"greeting-1.2.data/scripts/python3": "#!/bin/sh\n"},
		"the same as a script":             scripts("python"),
		"what makes it an environment":     {"greeting-1.2.data/data/pyvenv.cfg": "home = " + outside + "\n"},
		"a path through its links":         {"greeting-1.2.data/data/bin/python3/outside.py": ""},
	} {
		t.Run(name, func(t *testing.T) {
			data := wheel(t, "greeting", "1.2", hostile)
			root := packed(t, "greeting-1.2-py3-none-any.whl", data, platform, tag, hash(data))
			cache := t.TempDir()
			_, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/main.py", Packed: true, Cache: cache})
			require.ErrorContains(t, err, "greeting-1.2-py3-none-any.whl: it cannot be installed: ")
			require.Empty(t, environments(t, cache))
			for _, folder := range []string{outside, cache, root} {
				require.NoError(t, filepath.WalkDir(folder, func(name string, _ fs.DirEntry, err error) error {
					require.NotEqual(t, "outside.py", filepath.Base(name))
					return err
				}))
			}
		})
	}
	require.NotEmpty(t, run(t, "python3", "--version"), "the interpreter is what it was")
}

func TestWhatALibraryIsTalkedIntoIsNotWrittenOutsideEither(t *testing.T) {
	outside := t.TempDir()
	script, err := os.ReadFile("installer.py")
	require.NoError(t, err)
	_, after, found := strings.Cut(string(script), "def keep_to(env):\n")
	require.True(t, found)
	guard := "import os, sys\n" + regexp.MustCompile(`(?ms)^WRITING = .*?^}\n`).FindString(string(script)) +
		"def keep_to(env):\n" + strings.TrimSuffix(strings.TrimRight(after, "\n"), "main()")
	env := t.TempDir()
	require.NoError(t, os.Symlink(outside, filepath.Join(env, "link")))
	for _, attack := range []string{
		"open(%q, 'w')", "open(%q, 'ab')", "os.open(%q, os.O_CREAT | os.O_WRONLY)", "os.mkdir(%q)", "os.symlink('x', %q)",
		"os.rename(env + '/own', %q)", "os.link(env + '/own', %q)", "os.chmod(%q, 0o777)",
	} {
		for _, target := range []string{filepath.Join(outside, "new"), filepath.Join(env, "link", "new"), env + "/../new", env + "/link/../new"} {
			require.NoError(t, os.WriteFile(filepath.Join(env, "own"), nil, 0o600))
			out, err := exec.Command("python3", "-I", "-c", guard+"\nenv = "+fmt.Sprintf("%q", env)+"\nkeep_to(env)\nopen(env + '/own', 'w')\n"+
				fmt.Sprintf(attack, target)).CombinedOutput()
			require.Error(t, err, attack)
			require.Contains(t, string(out), "is outside of the environment", attack)
			require.NoFileExists(t, target)
		}
	}
}

func TestOfTwoWheelsWithTheSameFileTheLaterOnesStays(t *testing.T) {
	platform, tag := target(t)
	data := wheel(t, "greeting", "1.2", map[string]string{"kre/__init__.py": "raise SystemExit('not the SDK')\n"})
	root := packed(t, "greeting-1.2-py3-none-any.whl", data, platform, tag, hash(data))
	python, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/main.py", Packed: true, Cache: t.TempDir()})
	require.NoError(t, err)
	require.Equal(t, "ok", run(t, python, "-c", "import kre; print('ok')"))
}

func environments(t *testing.T, cache string) []string {
	t.Helper()
	made, err := filepath.Glob(filepath.Join(cache, "venvs", "*", "*"))
	require.NoError(t, err)
	return made
}

// index is a folder of wheels that stands in for a package index: what the SDK needs, and the wheels given.
func index(t *testing.T, wheels map[string][]byte) string {
	t.Helper()
	dir := t.TempDir()
	sdk, err := carried.Wheels()
	require.NoError(t, err)
	require.NoError(t, os.CopyFS(dir, sdk))
	for name, data := range wheels {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), data, 0o644))
	}
	return dir
}
