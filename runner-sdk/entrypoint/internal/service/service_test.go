package service_test

import (
	"context"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
)

const public = `syntax = "proto2";
package a;
import "lib/b.proto";
service One { rpc First(b.M) returns (b.M); rpc Second(b.M) returns (b.M); }
service Two { rpc Third(b.M) returns (b.M); }
extend b.M { optional string added = 100; }
message Holder { extend b.M { optional string nested = 101; } }
`

const lib = `syntax = "proto2"; package b; message M { extensions 100 to 200; }`

func load(t *testing.T, pkg fs.FS, config plan.Entrypoint) *service.Service {
	s, err := service.Load(context.Background(), config, pkg)
	require.NoError(t, err)
	return s
}

func loadPublic(t *testing.T) *service.Service {
	return load(t, fstest.MapFS{"public.proto": {Data: []byte(public)}, "lib/b.proto": {Data: []byte(lib)}}, plan.Entrypoint{
		Version: "v1", Proto: "public.proto", Workflows: []plan.EntrypointTarget{
			{Name: "c", RPC: "Third", Subject: "s.c", TimeoutMs: 1500}, {Name: "a", RPC: "First"},
		},
	})
}

func TestRPCsComeInTheOrderOfTheProtoWithWhatAnswersThem(t *testing.T) {
	s := loadPublic(t)
	require.Len(t, s.RPCs, 2)
	require.Equal(t, "/a.One/First", s.RPCs[0].Path)
	require.Equal(t, "/a.Two/Third", s.RPCs[1].Path)
	require.Equal(t, "c", s.RPCs[1].Workflow)
	require.Equal(t, "s.c", s.RPCs[1].Subject)
	require.Equal(t, "1.5s", s.RPCs[1].Timeout.String())
	require.Len(t, s.Descriptors, 2)
}

func TestSourcesBeginWithThePublicProto(t *testing.T) {
	s := loadPublic(t)
	require.Equal(t, []service.Source{{Path: "public.proto", Text: []byte(public)}, {Path: "lib/b.proto", Text: []byte(lib)}}, s.Sources)
}

func TestTheResolverKnowsThePackageFirstAndThenWhatIsLinkedIn(t *testing.T) {
	r := loadPublic(t).Resolver
	found, err := r.FindDescriptorByName("b.M")
	require.NoError(t, err)
	require.Equal(t, protoreflect.FullName("b.M"), found.FullName())
	_, err = r.FindFileByPath("grpc/health/v1/health.proto")
	require.ErrorIs(t, err, protoregistry.NotFound, "nothing here links it in")
	_, err = r.FindMessageByURL("type.googleapis.com/google.protobuf.Any")
	require.NoError(t, err)
	message, err := r.FindMessageByName("a.Holder")
	require.NoError(t, err)
	require.Equal(t, protoreflect.FullName("a.Holder"), message.Descriptor().FullName())
	_, err = r.FindMessageByName("a.Nobody")
	require.ErrorIs(t, err, protoregistry.NotFound)
	byName, err := r.FindExtensionByName("a.added")
	require.NoError(t, err)
	byNumber, err := r.FindExtensionByNumber("b.M", 100)
	require.NoError(t, err)
	require.Equal(t, byName.TypeDescriptor().FullName(), byNumber.TypeDescriptor().FullName())
}

func TestTheResolverListsTheExtensionsOfAMessageUntilToldToStop(t *testing.T) {
	r := loadPublic(t).Resolver
	var numbers []protoreflect.FieldNumber
	r.RangeExtensionsByMessage("b.M", func(found protoreflect.ExtensionType) bool {
		numbers = append(numbers, found.TypeDescriptor().Number())
		return true
	})
	require.ElementsMatch(t, []protoreflect.FieldNumber{100, 101}, numbers)
	calls := 0
	r.RangeExtensionsByMessage("b.M", func(protoreflect.ExtensionType) bool { calls++; return false })
	require.Equal(t, 1, calls)
}

func TestTheServiceOfAPackageWithoutProtoIsWrittenOut(t *testing.T) {
	s := load(t, fstest.MapFS{}, plan.Entrypoint{Version: "v1-0-3", Workflows: []plan.EntrypointTarget{
		{Name: "make_prediction", RPC: "MakePrediction"}, {Name: "odd\nname", RPC: "Odd"},
	}})
	require.Equal(t, "/kre.Entrypoint/MakePrediction", s.RPCs[0].Path)
	require.Equal(t, protoreflect.FullName("google.protobuf.Struct"), s.RPCs[0].Input.FullName())
	require.Equal(t, protoreflect.FullName("google.protobuf.Struct"), s.RPCs[0].Output.FullName())
	require.Len(t, s.Sources, 1)
	require.Equal(t, "kre/entrypoint.proto", s.Sources[0].Path)
	require.Contains(t, string(s.Sources[0].Text), "// Answered by the workflow odd name.\n  rpc Odd(")
}

func TestTheSentenceForAnUnknownRPCListsTheKnownOnesAndRepeatsNoLongText(t *testing.T) {
	s := loadPublic(t)
	require.Equal(t, "version v1 answers no rpc /a.One/Second; it answers /a.One/First, /a.Two/Third", s.Unknown("/a.One/Second"))
	require.Less(t, len(s.Unknown(strings.Repeat("x", 10_000))), 300)
}
