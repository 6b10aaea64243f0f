package protos_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/krt/protos"
)

func files(pairs ...string) fstest.MapFS {
	fsys := fstest.MapFS{}
	for i := 0; i < len(pairs); i += 2 {
		fsys[pairs[i]] = &fstest.MapFile{Data: []byte(pairs[i+1])}
	}
	return fsys
}

const price = `syntax = "proto3";
package price;
import "google/protobuf/timestamp.proto";
import "shared/money.proto";

// Prices answers what a diamond costs.
service Prices {
  rpc Estimate(Request) returns (shared.Money);
  rpc Compare(Request) returns (shared.Money);
}
message Request { double carat = 1; google.protobuf.Timestamp at = 2; }
`

const money = `syntax = "proto3";
package shared;
message Money { int64 units = 1; string currency = 2; }
`

func TestCompilesAProtoWithImportsFromThePackageAndWellKnownOnes(t *testing.T) {
	set, err := protos.Compile(context.Background(), files("price.proto", price, "shared/money.proto", money), "price.proto")
	require.NoError(t, err)
	require.Equal(t, "price.proto", set.Main.Path())
	require.Equal(t, []string{"shared/money.proto", "price.proto"}, paths(set.Local))

	var names []string
	for _, method := range set.Methods() {
		names = append(names, string(method.FullName()))
	}
	require.Equal(t, []string{"price.Prices.Estimate", "price.Prices.Compare"}, names)
	require.Equal(t, protoreflect.FullName("shared.Money"), set.Method("Compare").Output().FullName())
	require.Nil(t, set.Method("Nothing"))

	all := set.FileDescriptorSet()
	require.Equal(t, "shared/money.proto", all.File[0].GetName())
	require.Equal(t, "google/protobuf/timestamp.proto", all.File[1].GetName())
	require.Equal(t, "price.proto", all.File[2].GetName())
	require.NotEmpty(t, all.File[2].GetSourceCodeInfo().GetLocation(), "comments are kept for code generation")

	found, err := set.Files.FindDescriptorByName("google.protobuf.Timestamp")
	require.NoError(t, err)
	require.Equal(t, protoreflect.Name("Timestamp"), found.Name())
}

func TestCompilesSeveralFilesAtOnce(t *testing.T) {
	set, err := protos.Compile(context.Background(), files("price.proto", price, "shared/money.proto", money, "z.proto", strings.Replace(money, "shared", "z", 1)),
		"price.proto", "z.proto", "shared/money.proto")
	require.NoError(t, err)
	require.Equal(t, []string{"shared/money.proto", "price.proto", "z.proto"}, paths(set.Local))
}

func TestTheCopyOfAWellKnownTypeInThePackageIsTaken(t *testing.T) {
	set, err := protos.Compile(context.Background(), files(
		"a.proto", `syntax = "proto3"; import "google/protobuf/empty.proto"; message A { google.protobuf.Empty e = 1; }`,
		"google/protobuf/empty.proto", `syntax = "proto3"; package google.protobuf; message Empty {}`), "a.proto")
	require.NoError(t, err)
	require.Equal(t, []string{"google/protobuf/empty.proto", "a.proto"}, paths(set.Local))
}

func TestReportsEverythingThatIsWrong(t *testing.T) {
	tests := []struct {
		rule string
		fsys fstest.MapFS
		want []string
	}{
		{"a missing file", files(), []string{"a.proto: no such file in the package"}},
		{"syntax errors in two files and a missing import, each where it stands",
			files("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\nimport \"c.proto\";\nmessage A {}\n", "b.proto", "syntax = \"proto3\";\nmessage {\n"),
			[]string{
				"b.proto (line 2): syntax error: unexpected '{'",
				`a.proto (line 3): import "c.proto": no such file in the package, and not one of the well-known types`,
			}},
		{"several unknown types",
			files("a.proto", "syntax = \"proto3\";\nmessage A { B b = 1;\n C c = 2; }\n"),
			[]string{"a.proto (line 2): field A.b: unknown type B", "a.proto (line 3): field A.c: unknown type C"}},
		{"an import that leaves the root",
			files("a.proto", "syntax = \"proto3\";\nimport \"../b.proto\";\n", "b.proto", "syntax = \"proto3\";"),
			[]string{`a.proto (line 2): import "../b.proto": a path goes from the package's root, with / and without ./ or ../`}},
		{"an absolute import",
			files("a.proto", "syntax = \"proto3\";\nimport \"/etc/b.proto\";\n"),
			[]string{`a.proto (line 2): import "/etc/b.proto": a path goes from the package's root, with / and without ./ or ../`}},
		{"google/api, which is no well-known type",
			files("a.proto", "syntax = \"proto3\";\nimport \"google/api/http.proto\";\n"),
			[]string{`a.proto (line 2): import "google/api/http.proto": no such file in the package, and not one of the well-known types`}},
		{"a file that is too large",
			files("a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n", "b.proto", strings.Repeat(" ", protos.MaxFileBytes+1)),
			[]string{`a.proto (line 2): import "b.proto": larger than 1048576 bytes`}},
		{"messages nested too deep",
			files("a.proto", "syntax = \"proto3\";\n"+strings.Repeat("message A {\n", 90)+strings.Repeat("}", 90)),
			[]string{"a.proto (line 34): messages are nested more than 32 deep"}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			set, err := protos.Compile(context.Background(), test.fsys, "a.proto")
			require.Nil(t, set)
			var problems protos.Problems
			require.ErrorAs(t, err, &problems)
			require.Equal(t, strings.Join(test.want, "\n"), problems.Error())
		})
	}
}

func TestAnImportCycleIsReportedAndEnds(t *testing.T) {
	_, err := protos.Compile(context.Background(), files(
		"a.proto", "syntax = \"proto3\";\nimport \"b.proto\";\n", "b.proto", "syntax = \"proto3\";\nimport \"a.proto\";\n"), "a.proto")
	require.ErrorContains(t, err, "cycle found in imports")
}

func TestEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := protos.Compile(ctx, files("price.proto", price, "shared/money.proto", money), "price.proto")
	require.ErrorIs(t, err, context.Canceled)
}

func TestKnowsTheServicesOfThePlatform(t *testing.T) {
	require.True(t, protos.Reserved("grpc.health.v1.Health"))
	require.True(t, protos.Reserved("grpc.reflection.v1.ServerReflection"))
	require.False(t, protos.Reserved("price.Prices"))
}

func paths(list []protoreflect.FileDescriptor) []string {
	var out []string
	for _, file := range list {
		out = append(out, file.Path())
	}
	return out
}
