package manifest

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"golang.org/x/tools/txtar"
)

var updateRules = flag.Bool("update-rules", false, "write what is wanted in testdata/rules instead of comparing with it")

// TestRules reads every file of testdata/rules: a comment, the manifest, the other files of the package if the rule
// needs any (then the package is checked too; a comment that begins with "Project:" makes it a project), and in the
// file called want what is complained about, one per line, warnings with "warning: " before them. Every text in
// rules.go must appear in one of them.
func TestRules(t *testing.T) {
	told := map[rule]bool{}
	paths, err := filepath.Glob(filepath.Join("testdata", "rules", "*.txtar"))
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			archive, err := txtar.ParseFile(path)
			require.NoError(t, err)
			problems := judge(archive)
			for _, p := range problems {
				told[p.rule] = true
			}
			last := len(archive.Files) - 1
			require.Equal(t, "want", archive.Files[last].Name)
			if *updateRules {
				archive.Files[last].Data = []byte(describe(problems))
				require.NoError(t, os.WriteFile(path, txtar.Format(archive), 0o644))
			}
			require.Equal(t, string(archive.Files[last].Data), describe(problems))
		})
	}
	for name, test := range unwritable() {
		t.Run(name, func(t *testing.T) {
			_, problems := Parse("krt.yml", []byte(test.manifest))
			for _, p := range problems {
				told[p.rule] = true
			}
			require.Equal(t, test.want, describe(problems))
		})
	}
	for name, text := range texts(t) {
		require.True(t, told[text], "no file in testdata/rules is complained about with %s", name)
	}
}

func judge(archive *txtar.Archive) Problems {
	name := archive.Files[0].Name
	_, problems := Parse(name, archive.Files[0].Data)
	files := archive.Files[1 : len(archive.Files)-1]
	if len(files) == 0 {
		return problems
	}
	fsys := fstest.MapFS{}
	for _, file := range files {
		fsys[file.Name] = &fstest.MapFile{Data: file.Data}
	}
	fsys[name] = &fstest.MapFile{Data: archive.Files[0].Data}
	in := Package(fsys)
	if strings.HasPrefix(string(archive.Comment), "Project:") {
		in = Project(fsys)
	}
	_, problems, err := Load(in, name)
	if err != nil {
		panic(err) // the file is in the map above
	}
	return problems
}

func describe(problems Problems) string {
	var lines strings.Builder
	for _, p := range problems {
		if p.Warning {
			lines.WriteString("warning: ")
		}
		lines.WriteString(p.String() + "\n")
	}
	return lines.String()
}

type unwritableCase struct{ manifest, want string }

// unwritable are manifests that no text file should hold.
func unwritable() map[string]unwritableCase {
	nested := "a: &a [" + strings.Repeat("x,", 1000) + "]\nb: &b [" + strings.Repeat("*a,", 1000) + "]\n"
	subscribed := "version: x\nworkflows:\n- name: w\n  entrypoint: W\n  exitpoint: n\n  nodes:\n" +
		"  - &n {name: n, image: i, src: s, subscriptions: &s [" + strings.Repeat("entrypoint,", 1000) + "]}\n" + strings.Repeat("  - *n\n", 1000)
	return map[string]unwritableCase{
		"not-utf8":             {"version: a\nname: \xff\n", "krt.yml (line 2): not UTF-8\n"},
		"utf16":                {"\xff\xfev\x00", "krt.yml (line 1): not UTF-8\n"},
		"too-large":            {strings.Repeat("#", MaxBytes+1), fmt.Sprintf("krt.yml: larger than %d bytes; a manifest names files, it does not hold them\n", MaxBytes)},
		"control-characters":   {"version: a\nname: \x01\n", "krt.yml (line 2): not YAML: control characters are not allowed\n"},
		"aliases-repeat-much":  {subscribed, "workflows[0].nodes[94].subscriptions[987] (line 7): more than 100000 values, those that aliases repeat included\n"},
		"aliases-never-read":   {nested, "a (line 1): unknown key \"a\"\nversion (line 1): required, but missing: the name of the version, e.g. classificator-v1\nworkflows (line 1): required, but missing: a list of workflows\nb (line 2): unknown key \"b\"\n"},
		"an-alias-of-itself":   {"version: x\nworkflows: &w [*w]\n", "workflows[0] (line 2): must be a mapping (key: value), but is a list\n"},
		"a-merge-into-itself":  {"version: x\nworkflows: [&w {<<: *w}]\n", "workflows[0] (line 2): more than 100000 values, those that aliases repeat included\n"},
		"deep-nesting":         {strings.Repeat("[", 200_000), "krt.yml (line 1): not YAML: exceeded max depth of 10000\n"},
		"a-very-long-bad-name": {"version: " + strings.Repeat("é", 5000) + "\nworkflows: []\n", "version (line 1): bad name \"" + strings.Repeat("é", 100) + "…\"; write lower-case letters, digits and dashes, a letter first and no dash last\nworkflows (line 2): no workflow; a version has at least one\n"},
	}
}

// texts are the constants of type rule in rules.go, by name.
func texts(t *testing.T) map[string]rule {
	file, err := parser.ParseFile(token.NewFileSet(), "rules.go", nil, 0)
	require.NoError(t, err)
	found := map[string]rule{}
	for _, decl := range file.Decls {
		constants, ok := decl.(*ast.GenDecl)
		if !ok || constants.Tok != token.CONST {
			continue
		}
		for _, spec := range constants.Specs {
			constant := spec.(*ast.ValueSpec)
			require.Equal(t, "rule", constant.Type.(*ast.Ident).Name, constant.Names[0].Name)
			text, err := strconv.Unquote(constant.Values[0].(*ast.BasicLit).Value)
			require.NoError(t, err)
			found[constant.Names[0].Name] = rule(text)
		}
	}
	require.Greater(t, len(found), 50)
	return found
}

func TestProblemsAreByLineAndWarningsApart(t *testing.T) {
	problems := Problems{
		{File: "krt.yml", Path: "b", Line: 3, Message: "x"},
		{File: "a.proto", Path: "a.proto", Line: 1, Message: "x", Warning: true},
		{File: "krt.yml", Path: "a", Line: 2, Message: "x"},
	}
	problems.sort()
	require.Equal(t, "a (line 2): x\nb (line 3): x\na.proto (line 1): x", problems.Error())
	require.Len(t, problems.Complaints(), 2)
	require.Len(t, problems.Warnings(), 1)
	require.Error(t, problems.Err())
	require.NoError(t, problems.Warnings().Err())
	require.NoError(t, Problems(nil).Err())
	require.True(t, slices.IsSortedFunc(problems[:2], func(a, b Problem) int { return a.Line - b.Line }))
}
