package protos_test

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/internal/heaptest"
	"github.com/konstellation-io/kre/krt/protos"
)

const (
	header = "syntax = \"proto3\";\npackage p;\n"
	most   = protos.MaxFileBytes - 1<<10 // bytes of an attack
	// dear is more memory than any set of protos may take.
	dear = 128 << 20
)

// written is text from a function of a number, up to a number of bytes, with a break after each 30.
func written(size int, next func(i int) string) string {
	var text strings.Builder
	for i := 1; text.Len() < size; i++ {
		if i == 19_000 {
			i = 20_000 // fields may not have the numbers between
		}
		text.WriteString(next(i))
		if i%30 == 0 {
			text.WriteByte('\n')
		}
	}
	return text.String()
}

func same(text string) func(int) string { return func(int) string { return text } }

func numbered(format string) func(int) string {
	return func(i int) string { return strings.ReplaceAll(format, "#", fmt.Sprint(i)) }
}

func alone(source string) fstest.MapFS { return files("a.proto", source) }

func TestNoProtoCostsMoreThanItsBounds(t *testing.T) {
	const manyWords, longLine = "more than 100,000 words and signs in all protos together", "a line of more than 2,000 bytes; break it"
	of := func(size int, format string) string { return written(size, numbered(format)) }
	message := func(content string) string { return header + "message A {\n" + content + "\n}\n" }
	options := `syntax = "proto2"; import "google/protobuf/descriptor.proto";
message T { repeated T t = 1; } extend google.protobuf.FileOptions { repeated T r = 50000; }
`
	for name, c := range map[string]struct {
		fsys fstest.MapFS
		want string // "": it compiles
	}{
		// As they were found: seconds to minutes, and up to 2 GiB.
		"an option nested without end":         {alone(header + "option (a) = " + strings.Repeat("{a", most/3)), longLine},
		"the same, a line each":                {alone(header + "option (a) = " + strings.Repeat("{a\n", most/3)), "a.proto (line 103): brackets are nested more than 100 deep"},
		"lists within lists":                   {alone(header + "option (a) = {a: " + strings.Repeat("[\n", most/2)), "nested more than 100 deep"},
		"NUL bytes":                            {alone(header + strings.Repeat("\x00", 110_000)), longLine},
		"NUL bytes, a line each":               {alone(header + strings.Repeat("\x00\n", 110_000)), "a.proto (line 3): holds the control character U+0000"},
		"all in one line":                      {alone(header + strings.Repeat("message A{}", most/11)), longLine},
		"nothing but signs":                    {alone(header + written(most, same(";"))), manyWords},
		"nothing but comments":                 {alone(header + strings.Repeat("//\n", most/3)), manyWords},
		"one comment after the other":          {alone(header + written(most, same("/**/"))), manyWords},
		"too many messages":                    {alone(header + of(most, "message A#{}")), manyWords},
		"too many files":                       {many(1200), "more than 1000 files"},
		"many large files":                     {large(15, of(most, "// # is a comment of some length\n")), manyWords},
		"a long name with many names below it": {alone(header + "message " + strings.Repeat("a", 300_000) + "{\n}"), longLine},
		"the same within a line":               {alone(header + "message " + strings.Repeat("a", 1000) + "{\n}"), "a.proto (line 3): a word of more than 255 bytes"},
		"long names nested":                    {alone(header + strings.Repeat("message "+strings.Repeat("a", 200)+" {\n", 30) + strings.Repeat("}", 30)), "a.proto (line 5): a name of more than 512 bytes, with what it lies in"},
		"many fields in one message":           {alone(message(of(300_000, "optional A a#=#;"))), "a.proto (line 3): more than 2,000 fields and other things in one message"},
		"not UTF-8":                            {alone(header + "// \xff\n"), "a.proto (line 3): not UTF-8"},
		"a text that does not end":             {alone(header + "option java_package = \"x;\n"), "a.proto (line 3): a text does not end on its line"},
		"a comment that does not end":          {alone(header + "/* x\n\n"), "a.proto (line 3): a comment does not end"},
		"many mistakes":                        {alone(message(written(100_000, same("B b = 1;")))), "more"},
		"the same message again and again":     {alone(header + written(200_000, same("message A{}"))), "more"},
		"a long mistake":                       {alone(message(strings.Repeat("A.\n", 40_000) + "A b = 1;")), "…"},
		// Just within the bounds.
		"many messages":       {alone(header + of(350_000, "message A#{}")), ""},
		"many values":         {alone(header + "enum E { Z = 0;\n" + of(300_000, "a#=#;") + "}"), ""},
		"many rpcs":           {alone(message("") + "service S {\n" + of(220_000, "rpc a#(A)returns(A);") + "}"), ""},
		"many numbers":        {alone("syntax=\"proto2\";message A{reserved\n" + of(250_000, "#,") + "536870000;}"), ""},
		"messages of fields":  {alone(header + fieldsOf(8, "optional A0 a#=#;")), ""},
		"messages of maps":    {alone(header + fieldsOf(4, "map<int32,A0>a#=#;")), ""},
		"many options":        {alone(options + of(150_000, "option(r)={};")), ""},
		"deep options":        {alone(options + written(70_000, same("option(r)={"+strings.Repeat("t{", 20)+strings.Repeat("}", 20)+"};\n"))), ""},
		"many public imports": {imported(180), ""},
	} {
		t.Run(name, func(t *testing.T) {
			peak := heaptest.Watch(t)
			_, err := protos.Compile(t.Context(), c.fsys, "a.proto")
			require.Less(t, peak(), uint64(dear))
			if c.want == "" {
				require.NoError(t, err)
				return
			}
			var problems protos.Problems
			require.ErrorAs(t, err, &problems)
			require.LessOrEqual(t, len(problems), 101)
			require.Less(t, len(err.Error()), 64<<10)
			require.ErrorContains(t, err, c.want)
		})
	}
}

// fieldsOf are messages with nearly as many fields as may be.
func fieldsOf(messages int, format string) string {
	var all strings.Builder
	for i := range messages {
		fmt.Fprintf(&all, "message A%d {\n", i)
		for j := 1; j < 1_900; j++ {
			all.WriteString(strings.ReplaceAll(format, "#", fmt.Sprint(j)) + "\n")
		}
		all.WriteString("}\n")
	}
	return all.String()
}

// many is a file that imports many others.
func many(count int) fstest.MapFS {
	fsys := fstest.MapFS{}
	main := header
	for i := range count {
		name := fmt.Sprintf("%d.proto", i)
		main += fmt.Sprintf("import %q;\n", name)
		fsys[name] = &fstest.MapFile{Data: []byte(header)}
	}
	fsys["a.proto"] = &fstest.MapFile{Data: []byte(main)}
	return fsys
}

// large is a file that imports others of one content.
func large(count int, content string) fstest.MapFS {
	fsys := many(count)
	for name, file := range fsys {
		if name != "a.proto" {
			file.Data = []byte(header + content)
		}
	}
	return fsys
}

// imported are files each of which imports all that follow it, for those that import it too.
func imported(count int) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := range count {
		name, content := fmt.Sprintf("%d.proto", i), "syntax = \"proto3\";\n"
		if i == 0 {
			name = "a.proto"
		}
		for j := i + 1; j < count; j++ {
			content += fmt.Sprintf("import public \"%d.proto\";\n", j)
		}
		fsys[name] = &fstest.MapFile{Data: []byte(content + fmt.Sprintf("message M%d { M%d m = 1; }", i, count-1))}
	}
	return fsys
}

func TestWhatIsNotToldIsCounted(t *testing.T) {
	_, err := protos.Compile(t.Context(), alone(header+"message A {\n"+strings.Repeat("B b = 1;\n", 1_000)+"}"), "a.proto")
	var problems protos.Problems
	require.ErrorAs(t, err, &problems)
	require.Len(t, problems, 101)
	last := problems[100]
	require.Equal(t, 899, last.More, "each field but the first has the first one's name and number")
	require.Equal(t, "a.proto: and 899 more", last.String())
}

// ending is files whose reader goes when the one of a name is opened.
type ending struct {
	fstest.MapFS
	name string
	end  func()
	last *string
}

func (e ending) Open(name string) (fs.File, error) {
	if *e.last = name; name == e.name {
		e.end()
	}
	return e.MapFS.Open(name)
}

func TestStopsAtTheFileAtWhichItsContextEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	opened := ""
	fsys := files("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n", "b.proto", "syntax = \"proto3\";\nimport \"c.proto\";\n")
	_, err := protos.Compile(ctx, ending{fsys, "b.proto", cancel, &opened}, "a.proto")
	require.ErrorIs(t, err, context.Canceled)
	require.Equal(t, "b.proto", opened)
}

func TestImportsAreWhatCompileReads(t *testing.T) {
	for source, want := range map[string][]string{
		`import "a.proto";`: {"a.proto"},
		`import 'a.proto';`: {"a.proto"},
		`import public "a.proto"; import weak 'b.proto';`:         {"a.proto", "b.proto"},
		"import\n\"a\" '.proto' ;import/**/\"b\\x2eproto\";":      {"a.proto", "b.proto"},
		"// import \"a.proto\";\n/*\nimport \"b.proto\";\n*/":     nil,
		"option java_package = 'import \"a.proto\";';":            nil,
		"message A { B b = 1; } import \"a.proto\";":              {"a.proto"},
		"import \"a.proto\";\n\x00":                               nil,
		"import \"a.proto\";\nmessage {":                          nil,
		"import \"google/protobuf/empty.proto\"; import \"x/y\";": {"google/protobuf/empty.proto", "x/y"},
	} {
		require.Equal(t, want, protos.NewReading().Imports([]byte("syntax = \"proto3\";\n"+source)), source)
	}
}

// FuzzCompile holds that whatever is written, Compile ends without a panic and complains about places that are there.
func FuzzCompile(f *testing.F) {
	for _, source := range []string{
		price, money, header + "import 'b.proto'; enum E { A = 0; } extend A { }", "edition = \"2023\"; message A { reserved 1 to max; }",
		"syntax = \"proto2\"; message A { optional group B = 1 { required int32 x = 1 [default = -inf]; } oneof o { A a = 3; } }",
		"option (a).b = { a: [1, 'x' \"y\"] <b: 1.5e3> };", "message A { map<string, A> a = 1; } /* */ // \n service S { rpc A(stream A) returns (A) {} }",
	} {
		f.Add(source, money)
	}
	f.Fuzz(func(t *testing.T, source, other string) {
		if len(source)+len(other) > 10_000 {
			return // long ones are a matter of tests with a purpose
		}
		_, err := protos.Compile(t.Context(), files("a.proto", source, "b.proto", other), "a.proto")
		if err == nil {
			return
		}
		var problems protos.Problems
		require.ErrorAs(t, err, &problems)
		lines := map[string]int{"a.proto": strings.Count(source, "\n") + 1, "b.proto": strings.Count(other, "\n") + 1}
		for _, p := range problems {
			require.NotEmpty(t, p.Message)
			require.LessOrEqual(t, p.Line, lines[p.File], p.String())
		}
	})
}
