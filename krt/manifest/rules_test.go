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
			require.Equal(t, test.want, shownOf(problems))
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

// shownOf is describe with the middle of what is long left out.
func shownOf(problems Problems) string {
	lines := strings.SplitAfter(describe(problems), "\n")
	if len(lines) <= 10 {
		return strings.Join(lines, "")
	}
	return fmt.Sprintf("%s%d lines\n%s", lines[0], len(lines)-4, strings.Join(lines[len(lines)-3:], ""))
}

type unwritableCase struct{ manifest, want string }

// unwritable are manifests that no text file should hold.
func unwritable() map[string]unwritableCase {
	nested := "a: &a [" + strings.Repeat("x,", 1000) + "]\nb: &b [" + strings.Repeat("*a,", 1000) + "]\n"
	subscribed := "version: x\nworkflows:\n- name: w\n  entrypoint: W\n  exitpoint: n\n  nodes:\n" +
		"  - &n {name: n, image: i, src: s, subscriptions: &s [" + strings.Repeat("entrypoint,", 1000) + "]}\n" + strings.Repeat("  - *n\n", 400)
	many := func(count int, format string) string {
		var text strings.Builder
		for i := range count {
			text.WriteString(strings.ReplaceAll(format, "#", strconv.Itoa(i)))
		}
		return text.String()
	}
	const head = "version: x\nworkflows:\n"
	workflow := func(nodes string) string {
		return "- name: w#\n  entrypoint: W#\n  exitpoint: n0\n  nodes:\n" + nodes
	}
	const node = "  - {name: n#, image: i, src: s, subscriptions: [entrypoint]}\n"
	twice := head + strings.ReplaceAll(workflow(many(300, node)), "w#", "a") + strings.ReplaceAll(workflow(many(300, node)), "W#", "B")
	twice = strings.NewReplacer("w#", "b", "W#", "A").Replace(twice)
	return map[string]unwritableCase{
		"too-many-nodes":         {head + many(1, workflow(many(5_000, node))), "workflows[0].nodes (line 6): has 5,000 nodes; at most 500 are allowed\n"},
		"too-many-nodes-of-all":  {twice, "workflows (line 2): all workflows together have 600 nodes; at most 500 are allowed\n"},
		"too-many-nodes-v1":      {"version: x\nnodes:\n" + many(501, "- {name: n#, image: i}\n") + "workflows:\n- {name: w, waterfall: [n1]}\n", "nodes (line 2): has 501 nodes; at most 500 are allowed\n"},
		"too-long-a-chain":       {"version: x\nnodes:\n- {name: n, image: i}\nworkflows:\n- {name: w, waterfall: [" + many(501, "n#, ") + "]}\n", "workflows[0].waterfall (line 5): has 501 nodes; at most 500 are allowed\n"},
		"too-many-workflows":     {head + many(101, "- {}\n"), "workflows (line 2): has 101 workflows; at most 100 are allowed\n"},
		"too-many-subscriptions": {head + many(1, workflow("  - {name: n0, image: i, src: s, subscriptions: [entrypoint, "+many(100, "n0.c#, ")+"]}\n")), "workflows[0].nodes[0].subscriptions (line 7): has 101 subscriptions; at most 100 are allowed\n"},
		"too-many-values":        {"version: x\nconfig: {variables: [" + many(501, "A#, ") + "]}\n" + head[11:] + many(1, workflow(many(1, node))), "config (line 2): has 501 values; at most 500 are allowed\n"},
		"too-many-variables":     {head + many(1, workflow("  - {name: n0, image: i, src: s, subscriptions: [entrypoint], env: {"+many(501, "A#: 1, ")+"}}\n")), "workflows[0].nodes[0].env (line 7): has 501 variables; at most 500 are allowed\n"},
		"too-many-resources":     {head + many(1, workflow("  - {name: n0, image: i, src: s, subscriptions: [entrypoint], resources: {limits: {"+many(51, "a/b#: 1, ")+"}}}\n")), "workflows[0].nodes[0].resources.limits (line 7): has 51 resources; at most 50 are allowed\n"},
		"long-texts": {"description: " + strings.Repeat("d", 10_001) + "\nconfig: {variables: [" + strings.Repeat("A", 256) + "]}\n" + head + many(1, workflow(
			"  - {name: n0, image: "+strings.Repeat("i", 256)+", src: "+strings.Repeat("s", 1025)+", subscriptions: [entrypoint], env: {A: "+strings.Repeat("v", 32_769)+"}}\n")), "description (line 1): has 10,001 bytes; at most 10,000 are allowed\nconfig.variables[0] (line 2): has 256 bytes; at most 255 are allowed\nworkflows[0].nodes[0].image (line 9): has 256 bytes; at most 255 are allowed\nworkflows[0].nodes[0].env.A (line 9): has 32,769 bytes; at most 32,768 are allowed\nworkflows[0].nodes[0].src (line 9): has 1,025 bytes; at most 1,024 are allowed\n"},
		"very-many-mistakes":   {head + "- name: w\n" + many(5_000, "  k#: 1\n"), "workflows[0].k0 (line 4): unknown key \"k0\"\n98 lines\nworkflows[0].k99 (line 103): unknown key \"k99\"\nkrt.yml: and 4,903 more complaints\n"},
		"very-many-warnings":   {"version: x\nnodes:\n" + many(401, "- {name: n#, image: i}\n") + "workflows:\n- {name: w, waterfall: [n1]}\n", "warning: nodes[0].name (line 3): no workflow uses the node \"n0\"\n98 lines\nwarning: nodes[100].name (line 103): no workflow uses the node \"n100\"\nwarning: krt.yml: and 300 more warnings\n"},
		"not-utf8":             {"version: a\nname: \xff\n", "krt.yml (line 2): not UTF-8\n"},
		"utf16":                {"\xff\xfev\x00", "krt.yml (line 1): not UTF-8\n"},
		"too-large":            {strings.Repeat("#", MaxBytes+1), fmt.Sprintf("krt.yml: larger than %d bytes; a manifest names files, it does not hold them\n", MaxBytes)},
		"control-characters":   {"version: a\nname: \x01\n", "krt.yml (line 2): not YAML: control characters are not allowed\n"},
		"aliases-repeat-much":  {subscribed, "workflows[0].nodes[97].subscriptions[987] (line 7): more than 100000 values, those that aliases repeat included\n"},
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
