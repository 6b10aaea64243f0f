package instance_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/mem"
	"google.golang.org/grpc/metadata"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/krt/protos"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/instance"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// bytesCodec sends what a test hands it as it is.
type bytesCodec struct{}

func (bytesCodec) Name() string { return "proto" }
func (bytesCodec) Marshal(v any) (mem.BufferSlice, error) {
	return mem.BufferSlice{mem.SliceBuffer(v.([]byte))}, nil
}
func (bytesCodec) Unmarshal(data mem.BufferSlice, v any) error {
	*v.(*[]byte) = data.Materialize()
	return nil
}

var _ encoding.CodecV2 = bytesCodec{}

func TestBytesThatAreNotTheInputAreAnInvalidArgumentThatNamesTheType(t *testing.T) {
	w := newWorld(t)
	var out []byte
	var header metadata.MD
	err := w.grpc.Invoke(within(t), "/echo.Echo/Weigh", []byte{0x0a, 0xff}, &out, grpc.ForceCodecV2(bytesCodec{}), grpc.Header(&header))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), "Weigh: the bytes are not a types.Stone")
	require.Len(t, header.Get("x-request-id"), 1)
	require.Len(t, w.calls("InvalidArgument"), 1)
}

func TestAnUnknownRPCIsUnimplementedAndTheSentenceListsTheKnownOnes(t *testing.T) {
	w := newWorld(t)
	for name, path := range map[string]string{
		"unknown rpc": "/echo.Echo/Shout", "unknown service": "/other.Service/Say", "without a workflow": "/echo.Echo/Unanswered",
	} {
		t.Run(name, func(t *testing.T) {
			var header metadata.MD
			err := w.grpc.Invoke(within(t), path, wrapperspb.String(""), &wrapperspb.StringValue{}, grpc.Header(&header))
			require.Equal(t, codes.Unimplemented, status.Code(err))
			require.Equal(t, "version echo-v1 answers no rpc "+path+"; it answers /echo.Echo/Say, /echo.Echo/Weigh", status.Convert(err).Message())
			require.Len(t, header.Get("x-request-id"), 1)
		})
	}
}

func TestJSONIsRefusedOnTheGRPCPort(t *testing.T) {
	w := newWorld(t)
	_, err := w.say(within(t), "hello", grpc.CallContentSubtype("json"), grpc.ForceCodecV2(encoding.GetCodecV2("proto")))
	require.Equal(t, codes.InvalidArgument, status.Code(err))
	require.Contains(t, status.Convert(err).Message(), `content-type "application/grpc+json"`)
}

func TestCompressedRequestsAreAnswered(t *testing.T) {
	w := newWorld(t)
	w.newNode("say", echo)
	text := strings.Repeat("hello ", 1000)
	got, err := w.say(within(t), text, grpc.UseCompressor(gzip.Name))
	require.NoError(t, err)
	require.Equal(t, text, got)
}

func TestHealthIsToldForTheServerAndForEachService(t *testing.T) {
	w := newWorld(t)
	client := healthpb.NewHealthClient(w.grpc)
	for _, name := range []string{"", "echo.Echo"} {
		answer, err := client.Check(within(t), &healthpb.HealthCheckRequest{Service: name})
		require.NoError(t, err)
		require.Equal(t, healthpb.HealthCheckResponse_SERVING, answer.GetStatus())
	}
	_, err := client.Check(within(t), &healthpb.HealthCheckRequest{Service: "echo.Other"})
	require.Equal(t, codes.NotFound, status.Code(err))
}

func TestAGenericClientFindsTheServiceByReflectionAndCallsIt(t *testing.T) {
	w := newWorld(t)
	w.newNode("weigh", weigher(t))
	stream, err := reflectionv1.NewServerReflectionClient(w.grpc).ServerReflectionInfo(within(t))
	require.NoError(t, err)
	ask := func(r *reflectionv1.ServerReflectionRequest) *reflectionv1.ServerReflectionResponse {
		require.NoError(t, stream.Send(r))
		answer, err := stream.Recv()
		require.NoError(t, err)
		return answer
	}
	var services []string
	for _, s := range ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	}).GetListServicesResponse().GetService() {
		services = append(services, s.GetName())
	}
	require.Subset(t, services, []string{"echo.Echo", "grpc.health.v1.Health"})

	files := descriptors(t, ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "echo.Echo"},
	}).GetFileDescriptorResponse().GetFileDescriptorProto())
	found, err := files.FindDescriptorByName("echo.Echo.Weigh")
	require.NoError(t, err)
	method := found.(protoreflect.MethodDescriptor)
	in, out := dynamicpb.NewMessage(method.Input()), dynamicpb.NewMessage(method.Output())
	require.NoError(t, protojson.Unmarshal([]byte(`{"carat": 2, "parts": [{"name": "splinter"}]}`), in))
	require.NoError(t, w.grpc.Invoke(within(t), "/echo.Echo/Weigh", in, out))
	require.InDelta(t, 0.4, out.Get(method.Output().Fields().ByName("grams")).Float(), 1e-9)
}

func TestTheOlderReflectionIsServedToo(t *testing.T) {
	w := newWorld(t)
	stream, err := w.grpc.NewStream(within(t), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true},
		"/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")
	require.NoError(t, err)
	// On the wire, the older messages are the newer ones.
	require.NoError(t, stream.SendMsg(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: "types.Stone"},
	}))
	var answer reflectionv1.ServerReflectionResponse
	require.NoError(t, stream.RecvMsg(&answer))
	require.NotEmpty(t, answer.GetFileDescriptorResponse().GetFileDescriptorProto())
}

func TestWithoutAProtoTheServiceIsKreEntrypointAndTakesStructs(t *testing.T) {
	w := newWorld(t, func(o *instance.Options) { o.Config.Proto, o.Package = "", fstest.MapFS{} })
	w.newNode("say", func(e entry) {
		e.reply(wire.OK, "exit", anyBody(&structpb.Struct{Fields: map[string]*structpb.Value{"heard": structpb.NewBoolValue(true)}}))
		e.ack()
	})
	in, err := structpb.NewStruct(map[string]any{"text": "hello"})
	require.NoError(t, err)
	var out structpb.Struct
	require.NoError(t, w.grpc.Invoke(within(t), "/kre.Entrypoint/Say", in, &out))
	require.Equal(t, map[string]any{"heard": true}, out.AsMap())
}

func TestAPackageThatCannotBeServedIsRefusedWithTheReason(t *testing.T) {
	for name, c := range map[string]struct {
		configure func(*instance.Options)
		want      string
	}{
		"proto that does not compile": {func(o *instance.Options) {
			o.Package = fstest.MapFS{"public.proto": {Data: []byte("syntax = \"proto3\";\nmessage {}\n")}}
		}, "compiling public.proto: public.proto (line 2)"},
		"proto that is not there": {func(o *instance.Options) { o.Config.Proto = "other.proto" },
			"compiling other.proto: other.proto: no such file in the package"},
		"import that is not there": {func(o *instance.Options) {
			o.Package = fstest.MapFS{"public.proto": {Data: []byte(echoProto)}}
		}, `import "types/stone.proto": no such file in the package`},
		"rpc that the proto lacks": {func(o *instance.Options) { o.Config.Workflows[0].RPC = "Shout" },
			"public.proto: workflow say: no service has an rpc Shout"},
		"rpc that streams": {func(o *instance.Options) {
			o.Package = fstest.MapFS{"public.proto": {Data: []byte(strings.Replace(echoProto, "rpc Say(", "rpc Say(stream ", 1))},
				"types/stone.proto": echoPackage["types/stone.proto"]}
		}, "workflow say: rpc Say streams"},
		"service of the entrypoint's own": {func(o *instance.Options) {
			o.Package = fstest.MapFS{"public.proto": {Data: []byte(
				`syntax = "proto3"; package grpc.health.v1; message M {} service Health { rpc Check(M) returns (M); }`)}}
		}, "the entrypoint itself serves grpc.health.v1.Health: give the service another name"},
		"rpc that cannot be one": {func(o *instance.Options) { o.Config.Proto, o.Config.Workflows[0].RPC = "", "say it" },
			`workflow say: "say it" cannot be the name of an rpc`},
	} {
		t.Run(name, func(t *testing.T) {
			options := newWorldOptions(&world{nats: startNATS(t, 0, t.TempDir())})
			c.configure(&options)
			_, err := instance.Start(context.Background(), options, listen(t), listen(t), zap.NewNop())
			require.ErrorContains(t, err, c.want)
		})
	}
}

// weigher answers requests for Weigh with 0.2 grams a carat.
func weigher(t *testing.T) func(e entry) {
	set, err := protos.Compile(context.Background(), echoPackage, "public.proto")
	require.NoError(t, err)
	weigh := set.Method("Weigh")
	carat := weigh.Input().Fields().ByName("carat")
	grams := weigh.Output().Fields().ByName("grams")
	return func(e entry) {
		var body anypb.Any
		in, out := dynamicpb.NewMessage(weigh.Input()), dynamicpb.NewMessage(weigh.Output())
		if err := proto.Unmarshal(e.Body, &body); err != nil {
			t.Errorf("entry body: %v", err)
		}
		if err := proto.Unmarshal(body.GetValue(), in); err != nil {
			t.Errorf("entry body: %v", err)
		}
		out.Set(grams, protoreflect.ValueOfFloat64(in.Get(carat).Float()*0.2))
		e.reply(wire.OK, "scales", anyBody(out))
		e.ack()
	}
}

func descriptors(t *testing.T, encoded [][]byte) *protoregistry.Files {
	set := &descriptorpb.FileDescriptorSet{}
	for _, one := range encoded {
		file := &descriptorpb.FileDescriptorProto{}
		require.NoError(t, proto.Unmarshal(one, file))
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	require.NoError(t, err)
	return files
}
