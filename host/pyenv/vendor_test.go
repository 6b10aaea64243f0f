package pyenv_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/host/pyenv"
)

// TestRequirements needs a package registry, for uv alone: what is resolved comes from folders.
func TestRequirements(t *testing.T) {
	cache := t.TempDir()
	one, two := wheel(t, "greeting", "1.0", nil), wheel(t, "greeting", "2.0", nil)
	from := index(t, map[string][]byte{
		"greeting-1.0-py3-none-any.whl": one, "greeting-2.0-py3-none-any.whl": two, "source_only-1.0.tar.gz": []byte("no archive"),
		"elsewhere-1.0-cp39-cp39-plan9_mips.whl": wheel(t, "elsewhere", "1.0", nil),
	})
	asking := func(requirement string) string { return "--no-index\n--find-links " + from + "\n" + requirement + "\n" }
	platform, tag := target(t)
	wheels := ".kre/wheels/" + strings.ReplaceAll(platform, "/", "-") + "-" + tag + "/"
	var said []string
	say := func(text string) { said = append(said, text) }

	t.Run("a project's environment holds what its requirements resolve to", func(t *testing.T) {
		root := folder(t, map[string]string{
			"requirements.txt": asking("greeting"), "src/old/requirements.txt": "-r ../base.txt\n", "src/base.txt": asking("greeting<2"),
		})
		for src, version := range map[string]string{"src/new/main.py": "2.0", "src/old/deep/main.py": "1.0"} {
			python, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: src, Cache: cache, Say: say})
			require.NoError(t, err)
			require.Equal(t, version, run(t, python, "-c", "import greeting, kre; print(greeting.version)"))
		}
		require.NotEmpty(t, said)
		said = nil
		_, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/new/main.py", Cache: cache, Say: say})
		require.NoError(t, err)
		require.Empty(t, said, "nothing is resolved twice")
		require.NoFileExists(t, filepath.Join(root, "requirements.lock"), "running writes nothing into the project")
	})

	t.Run("packing vendors the wheels and writes a lock that the next pack takes", func(t *testing.T) {
		root := folder(t, map[string]string{"requirements.txt": asking("greeting<2"), "src/a/main.py": "", "src/b/main.py": ""})
		vendor := pyenv.VendorOptions{Project: root, Srcs: []string{"src/a/main.py", "src/b/main.py"}, Cache: cache, Say: say}
		files, err := pyenv.Vendor(t.Context(), vendor)
		require.NoError(t, err)
		var in []string
		for _, f := range files {
			in = append(in, f.Path)
			info, err := os.Stat(f.Name)
			require.NoError(t, err)
			require.Equal(t, info.Size(), f.Size)
		}
		require.Len(t, in, 3)
		require.Equal(t, wheels+"greeting-1.0-py3-none-any.whl", in[0])
		require.Equal(t, "requirements.lock", in[2])
		lock, err := os.ReadFile(filepath.Join(root, "requirements.lock"))
		require.NoError(t, err)
		require.Contains(t, string(lock), "\n# platform: "+platform+"\n# python: "+tag+"\n")
		require.Contains(t, string(lock), "greeting==1.0 \\\n    --hash=sha256:"+hash(one))

		said = nil
		write(t, from, map[string]string{"greeting-1.1-py3-none-any.whl": string(wheel(t, "greeting", "1.1", nil))})
		again, err := pyenv.Vendor(t.Context(), pyenv.VendorOptions{Project: root, Srcs: vendor.Srcs, Cache: cache, Say: say})
		require.NoError(t, err)
		require.Equal(t, files, again)
		require.Empty(t, said)

		write(t, root, map[string]string{"requirements.txt": asking("greeting>=2")})
		changed, err := pyenv.Vendor(t.Context(), vendor)
		require.NoError(t, err)
		require.Equal(t, wheels+"greeting-2.0-py3-none-any.whl", changed[0].Path)

		elsewhere := strings.Replace(string(lock), platform, "plan9/mips", 1)
		write(t, root, map[string]string{"requirements.lock": elsewhere, "requirements.txt": asking("greeting<2")})
		_, err = pyenv.Vendor(t.Context(), vendor)
		require.NoError(t, err)
		here, err := os.ReadFile(filepath.Join(root, "requirements.lock"))
		require.NoError(t, err)
		require.Contains(t, string(here), "# platform: "+platform+"\n", "another platform's lock is no use here")
	})

	t.Run("what was vendored runs without a network", func(t *testing.T) {
		root := folder(t, map[string]string{"src/requirements.txt": asking("greeting==2.0"), "src/main.py": ""})
		files, err := pyenv.Vendor(t.Context(), pyenv.VendorOptions{Project: root, Srcs: []string{"src/main.py"}, Cache: cache})
		require.NoError(t, err)
		for _, f := range files {
			data, err := os.ReadFile(f.Name)
			require.NoError(t, err)
			write(t, root, map[string]string{f.Path: string(data)})
		}
		offline(t)
		python, err := pyenv.Ensure(t.Context(), pyenv.Options{Root: root, Src: "src/main.py", Packed: true, Cache: t.TempDir()})
		require.NoError(t, err)
		require.Equal(t, "2.0", run(t, python, "-c", "import greeting, kre; print(greeting.version)"))
	})

	t.Run("a lock that somebody else has written is not overwritten", func(t *testing.T) {
		root := folder(t, map[string]string{"requirements.txt": asking("greeting"), "requirements.lock": "mine\n"})
		_, err := pyenv.Vendor(t.Context(), pyenv.VendorOptions{Project: root, Srcs: []string{"main.py"}, Cache: cache})
		require.EqualError(t, err, "requirements.lock is in the way: it was not made by kre. "+
			"Give it another name, and list what it holds in requirements.txt")
	})

	t.Run("what cannot be had is told", func(t *testing.T) {
		for requirement, text := range map[string]string{
			"no-such-package": "Because no-such-package was not found in the provided package locations",
			"greeting>9":      "Because only greeting<=2.0 is available",
			"elsewhere":       "elsewhere==1.0 has no wheels with a matching Python",
			"source-only":     "source-only==1.0 has no usable wheels",
			"protobuf<3":      "protobuf<3",
		} {
			root := folder(t, map[string]string{"requirements.txt": asking(requirement)})
			_, err := pyenv.Vendor(t.Context(), pyenv.VendorOptions{Project: root, Srcs: []string{"main.py"}, Cache: cache})
			require.ErrorContains(t, err, fmt.Sprintf("resolve requirements.txt for %s-%s: No solution found", platform, tag), requirement)
			require.ErrorContains(t, err, text, requirement)
			require.ErrorContains(t, err, "(the SDK itself needs protobuf==", requirement)
			require.NotContains(t, err.Error(), "\n", requirement)
			require.NoFileExists(t, filepath.Join(root, "requirements.lock"))
		}
	})

	t.Run("a folder on this machine cannot be locked", func(t *testing.T) {
		root := folder(t, map[string]string{"requirements.txt": asking("./own"), "own/own.py": "", "own/pyproject.toml": "[project]\nname='own'\nversion='1'\ndependencies=[]\n"})
		_, err := pyenv.Vendor(t.Context(), pyenv.VendorOptions{Project: root, Srcs: []string{"main.py"}, Cache: cache})
		require.ErrorContains(t, err, "cannot be locked")
	})
}
