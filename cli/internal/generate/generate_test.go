package generate_test

import (
	"context"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/cli/internal/generate"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/protos"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

// every is a project with every kind of field.
func every(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, os.DirFS("testdata/every")))
	require.NoError(t, os.Rename(filepath.Join(root, "go.mod.txt"), filepath.Join(root, "go.mod")))
	return root
}

const simple = `syntax = "proto3";
package demo;
service Greeter { rpc Greet(Request) returns (Response); }
message Request { string name = 1; }
message Response { string text = 1; }
`

const simpleManifest = `krtVersion: v2
version: demo
entrypoint: {proto: public_input.proto, image: none}
workflows:
  - name: greet
    entrypoint: Greet
    exitpoint: greet
    nodes: [{name: greet, image: none, src: src/greet/main.py, subscriptions: [entrypoint]}]
`

func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

func project(t *testing.T, pairs ...string) string {
	t.Helper()
	root := t.TempDir()
	require.NoError(t, os.CopyFS(root, files(pairs...)))
	return root
}

func TestEveryKindOfFieldIsGeneratedAsAgreed(t *testing.T) {
	output, err := generate.Render(t.Context(), os.DirFS(every(t)), generate.Options{})
	require.NoError(t, err)
	if *update {
		require.NoError(t, os.RemoveAll("testdata/golden"))
	}
	for name, content := range output.Files {
		golden := filepath.Join("testdata/golden", strings.TrimPrefix(name, ".kre/gen/")+".golden")
		if *update {
			require.NoError(t, os.MkdirAll(filepath.Dir(golden), 0o755))
			require.NoError(t, os.WriteFile(golden, content, 0o644))
		}
		want, err := os.ReadFile(golden)
		require.NoError(t, err)
		require.Equal(t, string(want), string(content), name)
	}
	require.Len(t, output.Files, 12)
	require.Equal(t, []string{
		`broken.proto was left out: broken.proto (line 1): import "nope.proto": no such file in the package, and not one of the well-known types`,
	}, output.Warnings)
}

func TestASecondRunTouchesNothing(t *testing.T) {
	root := project(t, "krt.yml", simpleManifest, "public_input.proto", simple, "go.mod", "module demo\n")
	first, err := generate.Project(t.Context(), root, generate.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{".kre/gen/python/public_input_pb2.py", ".kre/gen/python/public_input_pb2.pyi", "pb/public_input.pb.go"}, first.Written)

	long := time.Now().Add(-time.Hour).Truncate(time.Second)
	for _, name := range append(first.Files, ".kre/gen/go.files") {
		require.NoError(t, os.Chtimes(filepath.Join(root, name), long, long))
	}
	second, err := generate.Project(t.Context(), root, generate.Options{})
	require.NoError(t, err)
	require.Empty(t, second.Written)
	require.Equal(t, first.Files, second.Files)
	for _, name := range append(first.Files, ".kre/gen/go.files") {
		info, err := os.Stat(filepath.Join(root, name))
		require.NoError(t, err)
		require.Equal(t, long, info.ModTime(), name)
	}
}

func TestSeveralRunsAtOnceAreTheSameAsOne(t *testing.T) {
	root := project(t, "krt.yml", simpleManifest, "public_input.proto", simple, "go.mod", "module demo\n")
	results := make(chan error)
	const runs = 8
	for range runs {
		go func() {
			_, err := generate.Project(context.Background(), root, generate.Options{})
			results <- err
		}()
	}
	for range runs {
		require.NoError(t, <-results)
	}
	entries, err := os.ReadDir(filepath.Join(root, "pb"))
	require.NoError(t, err)
	require.Len(t, entries, 1, "nothing is left behind")
}

func TestWhatIsGeneratedNoMoreIsRemovedAndHandwrittenFilesStay(t *testing.T) {
	root := project(t, "krt.yml", simpleManifest, "public_input.proto", simple, "go.mod", "module demo\n",
		"other.proto", strings.ReplaceAll(simple, "package demo", "package other"),
		"pb/own.pb.go", "package pb // somebody's own\n", ".kre/gen/python/notes.txt", "mine")
	require.NoError(t, os.WriteFile(filepath.Join(root, "other.proto"), []byte(`syntax = "proto3"; package other; message M {}`), 0o644))
	_, err := generate.Project(t.Context(), root, generate.Options{})
	require.NoError(t, err)
	require.FileExists(t, filepath.Join(root, "pb/other.pb.go"))

	require.NoError(t, os.Remove(filepath.Join(root, "other.proto")))
	result, err := generate.Project(t.Context(), root, generate.Options{})
	require.NoError(t, err)
	require.Equal(t, []string{".kre/gen/python/other_pb2.py", ".kre/gen/python/other_pb2.pyi", "pb/other.pb.go"}, result.Removed)
	require.NoFileExists(t, filepath.Join(root, "pb/other.pb.go"))
	require.FileExists(t, filepath.Join(root, "pb/own.pb.go"))
	require.FileExists(t, filepath.Join(root, ".kre/gen/python/notes.txt"))
}

func TestGeneratingPythonAloneLeavesGoFiles(t *testing.T) {
	root := project(t, "krt.yml", simpleManifest, "public_input.proto", simple, "go.mod", "module demo\n")
	_, err := generate.Project(t.Context(), root, generate.Options{})
	require.NoError(t, err)
	result, err := generate.Project(t.Context(), root, generate.Options{Language: generate.Python})
	require.NoError(t, err)
	require.Empty(t, result.Removed)
	require.FileExists(t, filepath.Join(root, "pb/public_input.pb.go"))
}

func TestGoPackagesLieWhereTheirImportPathSays(t *testing.T) {
	tests := []struct{ name, option, file, warning string }{
		{"absent", "", "pb/public_input.pb.go", ""},
		{"in the module", `option go_package = "example.com/demo/api/v1";`, "api/v1/public_input.pb.go", ""},
		{"the module itself", `option go_package = "example.com/demo;demo";`, "public_input.pb.go", ""},
		{"from the module's root", `option go_package = "./gen";`, "gen/public_input.pb.go", ""},
		{"outside the module", `option go_package = "example.com/other/pb";`, "pb/public_input.pb.go",
			`public_input.proto: its go_package "example.com/other/pb" lies outside the module example.com/demo: its Go types are written to example.com/demo/pb`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			fsys := files("krt.yml", simpleManifest, "go.mod", "module example.com/demo\n",
				"public_input.proto", strings.Replace(simple, "package demo;", "package demo;\n"+test.option, 1))
			output, err := generate.Render(t.Context(), fsys, generate.Options{Language: generate.Go})
			require.NoError(t, err)
			require.Contains(t, output.Files, test.file)
			require.Len(t, output.Files, 1)
			if test.warning == "" {
				require.Empty(t, output.Warnings)
				return
			}
			require.Equal(t, []string{test.warning}, output.Warnings)
		})
	}
}

func TestGoTypesOfProtosInOtherFoldersGetPackagesOfTheirOwn(t *testing.T) {
	fsys := files("krt.yml", strings.Replace(simpleManifest, "public_input.proto", "api/public_input.proto", 1), "go.mod", "module demo\n",
		"api/public_input.proto", strings.Replace(simple, "package demo;", `package demo; import "api/deep/a.proto"; import "shared/b.proto";`, 1),
		"api/deep/a.proto", `syntax = "proto3"; package deep; message A {}`,
		"shared/b.proto", `syntax = "proto3"; package shared; message B {}`)
	output, err := generate.Render(t.Context(), fsys, generate.Options{Language: generate.Go})
	require.NoError(t, err)
	require.Contains(t, output.Files, "pb/public_input.pb.go")
	require.Contains(t, output.Files, "pb/deep/a.pb.go")
	require.Contains(t, output.Files, "pb/shared/b.pb.go")
	require.Contains(t, string(output.Files["pb/public_input.pb.go"]), `"demo/pb/shared"`)
}

func TestTypesThatGooglePublishesAreNotGeneratedAgainForGo(t *testing.T) {
	fsys := files("krt.yml", simpleManifest, "go.mod", "module demo\n",
		"public_input.proto", strings.Replace(simple, "package demo;", `package demo; import "google/rpc/code.proto";`, 1),
		"google/rpc/code.proto", `syntax = "proto3"; package google.rpc; option go_package = "google.golang.org/genproto/googleapis/rpc/code;code"; enum Code { OK = 0; }`)
	output, err := generate.Render(t.Context(), fsys, generate.Options{Language: generate.Go})
	require.NoError(t, err)
	require.Len(t, output.Files, 1)
}

func TestGoWithoutAModuleSaysWhatToDo(t *testing.T) {
	fsys := files("krt.yml", simpleManifest, "public_input.proto", simple)
	_, err := generate.Render(t.Context(), fsys, generate.Options{Language: generate.Go})
	require.EqualError(t, err, "the project has no go.mod to tell the import path of its Go types: make one (go mod init NAME), or give the path with --go-module")

	output, err := generate.Render(t.Context(), fsys, generate.Options{Language: generate.Both, GoModule: "example.com/x"})
	require.NoError(t, err)
	require.Contains(t, string(output.Files["pb/public_input.pb.go"]), "package pb")
	require.Len(t, output.Files, 3)
}

func TestAProjectWithoutProtosGeneratesNothing(t *testing.T) {
	v1 := "version: 1.0\nnodes: [{name: a, image: none, src: a.py}]\nworkflows: [{name: w, sequential: [a]}]\n"
	output, err := generate.Render(t.Context(), files("kre.yaml", v1), generate.Options{})
	require.NoError(t, err)
	require.Empty(t, output.Files)
}

func TestProtosInFoldersOfOthersAreNotGenerated(t *testing.T) {
	fsys := files("krt.yml", simpleManifest, "public_input.proto", simple, "extra.proto", `syntax = "proto3"; message Extra {}`,
		".venv/x.proto", simple, "node_modules/y.proto", simple, "third_party/z.proto", simple)
	output, err := generate.Render(t.Context(), fsys, generate.Options{})
	require.NoError(t, err)
	require.Contains(t, output.Files, ".kre/gen/python/extra_pb2.py")
	require.Len(t, output.Files, 4)
	require.Empty(t, output.Warnings)
}

func TestAWrongPublicProtoIsRefusedWithItsLine(t *testing.T) {
	fsys := files("krt.yml", simpleManifest, "public_input.proto", strings.Replace(simple, "string name", "strin name", 1))
	_, err := generate.Render(t.Context(), fsys, generate.Options{})
	var problems protos.Problems
	require.ErrorAs(t, err, &problems)
	require.Equal(t, 4, problems[0].Line)
}

func TestAWrongManifestIsRefused(t *testing.T) {
	_, err := generate.Render(t.Context(), files("krt.yml", "version: 3x\n"), generate.Options{})
	var problems manifest.Problems
	require.ErrorAs(t, err, &problems)
}

func TestAFolderWithoutManifestIsRefused(t *testing.T) {
	_, err := generate.Render(t.Context(), files(), generate.Options{})
	require.EqualError(t, err, "no manifest: there is none of krt.yml, krt.yaml, kre.yaml, kre.yml")
}

func TestALinkInTheProjectCannotLeadOutOfIt(t *testing.T) {
	outside := t.TempDir()
	root := project(t, "krt.yml", simpleManifest, "public_input.proto", simple)
	require.NoError(t, os.Symlink(outside, filepath.Join(root, ".kre")))
	_, err := generate.Project(context.Background(), root, generate.Options{})
	require.ErrorContains(t, err, "path escapes from parent")
	entries, err := fs.ReadDir(os.DirFS(outside), ".")
	require.NoError(t, err)
	require.Empty(t, entries)
}
