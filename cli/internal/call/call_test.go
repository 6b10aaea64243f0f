package call

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/reflection"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/krt/protos"
)

const source = `syntax = "proto3";
package demo;
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/wrappers.proto";
import "google/protobuf/any.proto";
service Greeter {
  rpc Greet(Request) returns (Response);
  rpc Fail(Request) returns (Response);
  rpc Wait(Request) returns (Response);
  rpc Everything(All) returns (All);
  rpc Same(Request) returns (Response);
}
service Other {
  rpc Same(Request) returns (Response);
  rpc Watch(Request) returns (stream Response);
}
message Request { string name = 1; int32 times = 2; }
message Response { string text = 1; int64 count = 2; string long_name = 3; }
enum Color { NONE = 0; RED = 1; }
message All {
  double d = 1; float f = 2; int32 i = 3; int64 l = 4; uint64 u = 5; bool b = 6; string s = 7; bytes y = 8; Color c = 9;
  repeated string list = 10; map<int32, Color> map = 11; map<string, Request> messages = 12; All all = 13;
  oneof choice { string first = 14; Request second = 15; } optional int32 maybe = 16;
  google.protobuf.Timestamp at = 17; google.protobuf.Struct free = 18; google.protobuf.DoubleValue wrapped = 19;
  google.protobuf.Any any = 20; google.protobuf.NullValue nothing = 21; google.protobuf.Value value = 22;
}
`

// version is a server that looks like the entrypoint of a version.
type version struct {
	addr string
	seen metadata.MD // of the last call
}

func serve(t *testing.T) *version {
	t.Helper()
	set, err := protos.Compile(t.Context(), fstest.MapFS{"demo.proto": {Data: []byte(source)}}, "demo.proto")
	require.NoError(t, err)
	v := &version{}
	server := grpc.NewServer()
	for i := range set.Main.Services().Len() {
		v.register(server, set.Main.Services().Get(i))
	}
	reflectionv1.RegisterServerReflectionServer(server, reflection.NewServerV1(reflection.ServerOptions{
		Services: server, DescriptorResolver: set.Files, ExtensionResolver: nil,
	}))
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	v.addr = listener.Addr().String()
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); require.NoError(t, <-served) })
	return v
}

func (v *version) register(server *grpc.Server, service protoreflect.ServiceDescriptor) {
	desc := &grpc.ServiceDesc{ServiceName: string(service.FullName()), HandlerType: (*any)(nil)}
	for i := range service.Methods().Len() {
		method := service.Methods().Get(i)
		desc.Methods = append(desc.Methods, grpc.MethodDesc{
			MethodName: string(method.Name()),
			Handler: func(_ any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
				request := dynamicpb.NewMessage(method.Input())
				if err := decode(request); err != nil {
					return nil, err
				}
				return v.answer(ctx, method, request)
			},
		})
	}
	server.RegisterService(desc, struct{}{})
}

func (v *version) answer(ctx context.Context, method protoreflect.MethodDescriptor, request *dynamicpb.Message) (any, error) {
	v.seen, _ = metadata.FromIncomingContext(ctx)
	header := metadata.Pairs("x-request-id", "01JD7QZ8X5N3V9T4B6K2M0P1RS", "x-kre-timing", "total=3100;queue=400;greet=1900;reply=800")
	if err := grpc.SetHeader(ctx, header); err != nil {
		return nil, err
	}
	switch method.Name() {
	case "Everything":
		return request, nil
	case "Wait":
		<-ctx.Done()
		return nil, ctx.Err()
	case "Fail":
		failed, err := status.New(codes.InvalidArgument, "the name is wrong").WithDetails(
			&errdetails.BadRequest{FieldViolations: []*errdetails.BadRequest_FieldViolation{{Field: "name", Description: "is empty"}}},
			&errdetails.ErrorInfo{Reason: "NODE_FAILED", Domain: "kre", Metadata: map[string]string{"node": "etl", "attempts": "1"}},
			&errdetails.RequestInfo{RequestId: "r"},
		)
		if err != nil {
			return nil, err
		}
		return nil, failed.Err()
	}
	response := dynamicpb.NewMessage(method.Output())
	name := request.Get(method.Input().Fields().ByName("name")).String()
	response.Set(method.Output().Fields().ByName("text"), protoreflect.ValueOfString("Hello "+name))
	return response, nil
}

// kre runs `kre call` and returns what it wrote.
func kre(t *testing.T, command Command, stdin string) (out, problems string, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	err = command.run(t.Context(), streams{in: strings.NewReader(stdin), out: &stdout, err: &stderr})
	return stdout.String(), stderr.String(), err
}

func TestAnswersWithProtoNamesAndZeroValuesAndTellsWhereTheTimeWent(t *testing.T) {
	v := serve(t)
	out, about, err := kre(t, Command{RPC: "Greet", Request: `{"name":"Ada"}`, Addr: v.addr}, "")
	require.NoError(t, err)
	require.Equal(t, `{"text":"Hello Ada","count":"0","long_name":""}`+"\n", out)
	require.Equal(t, "01JD7QZ8X5N3V9T4B6K2M0P1RS  3.1 ms = queue 0.4 + greet 1.9 + reply 0.8\n", about)
}

func TestAnswersOneObjectWhenJSONIsAskedFor(t *testing.T) {
	v := serve(t)
	out, about, err := kre(t, Command{RPC: "Greet", Request: `{"name":"Ada"}`, Addr: v.addr, Output: "json"}, "")
	require.NoError(t, err)
	require.Empty(t, about)
	require.JSONEq(t, `{"answer":{"text":"Hello Ada","count":"0","long_name":""},"request_id":"01JD7QZ8X5N3V9T4B6K2M0P1RS",
		"timing":[{"name":"total","us":3100},{"name":"queue","us":400},{"name":"greet","us":1900},{"name":"reply","us":800}]}`, out)
}

func TestOnATerminalEverythingIsOnOneLine(t *testing.T) {
	v := serve(t)
	t.Setenv("NO_COLOR", "1")
	var both bytes.Buffer
	command := Command{RPC: "Greet", Request: `{"name":"Ada"}`, Addr: v.addr}
	require.NoError(t, command.run(t.Context(), streams{out: &both, err: &both, terminal: true}))
	require.Equal(t, `{"text":"Hello Ada","count":"0","long_name":""}  01JD7QZ8X5N3V9T4B6K2M0P1RS  3.1 ms = queue 0.4 + greet 1.9 + reply 0.8`+"\n", both.String())

	both.Reset()
	command.Request = `{"name":"` + strings.Repeat("x", 100) + `"}`
	require.NoError(t, command.run(t.Context(), streams{out: &both, err: &both, terminal: true}))
	require.Equal(t, "{\n  \"text\": \"Hello "+strings.Repeat("x", 100)+"\",\n  \"count\": \"0\",\n  \"long_name\": \"\"\n}\n"+
		"01JD7QZ8X5N3V9T4B6K2M0P1RS  3.1 ms = queue 0.4 + greet 1.9 + reply 0.8\n", both.String())
}

func TestFindsAnRPCByAnyOfItsNames(t *testing.T) {
	v := serve(t)
	for _, name := range []string{"Greet", "Greeter/Greet", "Greeter.Greet", "demo.Greeter/Greet", "demo.Greeter.Greet", "/demo.Greeter/Greet"} {
		_, _, err := kre(t, Command{RPC: name, Addr: v.addr}, "")
		require.NoError(t, err, name)
	}
}

func TestAnRPCThatIsNotThereIsRefusedWithASuggestion(t *testing.T) {
	v := serve(t)
	for name, complaint := range map[string]string{
		"greet":       `unknown rpc "greet"; did you mean "Greet"?`,
		"Geeter/Gret": `unknown rpc "Geeter/Gret"; did you mean "Greet"?`,
		"reet":        `unknown rpc "reet"; did you mean "Greet"?`,
		"Estimate":    `unknown rpc "Estimate"; there are Greet, Fail, Wait, Everything, Same, Same, Watch`,
		"Same":        `Same may mean any of demo.Greeter/Same, demo.Other/Same: give more of the name`,
		"Watch":       `demo.Other.Watch is a stream; kre call makes plain calls only`,
	} {
		_, _, err := kre(t, Command{RPC: name, Addr: v.addr}, "")
		require.EqualError(t, err, complaint)
	}
}

func TestListsTheRPCsWithARequestForEach(t *testing.T) {
	v := serve(t)
	out, _, err := kre(t, Command{Addr: v.addr}, "")
	require.NoError(t, err)
	require.Contains(t, out, "demo.Greeter at "+v.addr+"\n  kre call Greet '{\"name\":\"text\",\"times\":1}'\n")
	require.Contains(t, out, "\n  kre call Other/Same '{\"name\":\"text\",\"times\":1}'\n")
	require.NotContains(t, out, "Watch", "a stream cannot be called")
	require.NotContains(t, out, "ServerReflection")
}

func TestTheRequestOfTheListFits(t *testing.T) {
	v := serve(t)
	list, _, err := kre(t, Command{Addr: v.addr}, "")
	require.NoError(t, err)
	_, request, found := strings.Cut(list, "kre call Everything '")
	require.True(t, found)
	request, _, _ = strings.Cut(request, "'\n")
	require.Contains(t, request, `"l":"1"`)
	require.Contains(t, request, `"map":{"1":"RED"}`)
	require.Contains(t, request, `"first":"text"`)
	require.NotContains(t, request, `"second"`, "one of a oneof")
	out, _, err := kre(t, Command{RPC: "Everything", Request: request, Addr: v.addr}, "")
	require.NoError(t, err)
	require.Contains(t, out, `"at":"2026-01-31T12:00:00Z"`)
}

func TestARequestThatDoesNotFitIsRefusedWithOneThatDoes(t *testing.T) {
	v := serve(t)
	_, _, err := kre(t, Command{RPC: "Greet", Request: `{"nam":"Ada"}`, Addr: v.addr}, "")
	require.EqualError(t, err, "the request is no demo.Request: (line 1:2): unknown field \"nam\"\nIt may look like this: {\"name\":\"text\",\"times\":1}")
	require.Nil(t, v.seen, "nothing was sent")
}

func TestTheRequestComesFromAFileOrFromStandardInput(t *testing.T) {
	v := serve(t)
	file := filepath.Join(t.TempDir(), "request.json")
	require.NoError(t, os.WriteFile(file, []byte(`{"name":"file"}`), 0o644))
	out, _, err := kre(t, Command{RPC: "Greet", Request: "@" + file, Addr: v.addr}, "")
	require.NoError(t, err)
	require.Contains(t, out, "Hello file")
	out, _, err = kre(t, Command{RPC: "Greet", Request: "-", Addr: v.addr}, `{"name":"stdin"}`)
	require.NoError(t, err)
	require.Contains(t, out, "Hello stdin")
	_, _, err = kre(t, Command{RPC: "Greet", Request: "@" + file + "x", Addr: v.addr}, "")
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestHeadersAreSent(t *testing.T) {
	v := serve(t)
	_, _, err := kre(t, Command{RPC: "Greet", Addr: v.addr, Header: []string{"x-request-id=order=17", "a=1", "a=2"}}, "")
	require.NoError(t, err)
	require.Equal(t, []string{"order=17"}, v.seen.Get("x-request-id"))
	require.Equal(t, []string{"1", "2"}, v.seen.Get("a"))
	require.Equal(t, []string{"1"}, v.seen.Get("x-kre-timing"))
	_, _, err = kre(t, Command{RPC: "Greet", Addr: v.addr, Header: []string{"nonsense"}}, "")
	require.EqualError(t, err, `-H "nonsense": want KEY=VALUE`)
}

func TestAFailedCallTellsCodeMessageDetailsAndRequest(t *testing.T) {
	v := serve(t)
	out, _, err := kre(t, Command{RPC: "Fail", Addr: v.addr}, "")
	require.Empty(t, out)
	lines := strings.Split(err.Error(), "\n")
	require.Equal(t, []string{
		"INVALID_ARGUMENT: the name is wrong",
		"  name: is empty",
		"  NODE_FAILED attempts=1 node=etl",
	}, lines[:3])
	require.Contains(t, lines[3], "google.rpc.RequestInfo")
	require.Equal(t, "  request 01JD7QZ8X5N3V9T4B6K2M0P1RS", lines[4])
}

func TestTheTimeoutEndsACall(t *testing.T) {
	v := serve(t)
	_, _, err := kre(t, Command{RPC: "Wait", Addr: v.addr, Timeout: time.Millisecond}, "")
	require.ErrorContains(t, err, "DEADLINE_EXCEEDED: ")
}

func TestWhereNothingListensItSaysHowToStartSomething(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	addr := ports.Address(ports.Loopback, port)
	_, _, err = kre(t, Command{RPC: "Greet", Addr: addr}, "")
	require.EqualError(t, err, "nothing answers at "+addr+
		": start a version with `kre run` in another terminal, or say with --addr where one runs (connection refused)")
	_, _, err = kre(t, Command{RPC: "Greet", Addr: "nowhere"}, "")
	require.EqualError(t, err, `--addr "nowhere": want HOST:PORT`)
}

func TestAServerWithoutReflectionIsNoEntrypoint(t *testing.T) {
	server := grpc.NewServer()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() { server.Stop(); require.NoError(t, <-served) })
	_, _, err = kre(t, Command{RPC: "Greet", Addr: listener.Addr().String()}, "")
	require.ErrorContains(t, err, "it has no reflection, so it is no entrypoint of a version")
}

func TestCallsWhatRunsInThisFolderOrInOneAround(t *testing.T) {
	v := serve(t)
	project := t.TempDir()
	below := filepath.Join(project, "src", "greet")
	require.NoError(t, os.MkdirAll(below, 0o755))
	require.NoError(t, os.MkdirAll(filepath.Join(project, ".kre"), 0o755))
	state := filepath.Join(project, ".kre", "run.json")
	require.NoError(t, os.WriteFile(state, []byte(`{"grpc":"`+v.addr+`","http":"127.0.0.1:1"}`), 0o600))
	for _, folder := range []string{project, below} {
		t.Chdir(folder)
		_, _, err := kre(t, Command{RPC: "Greet"}, "")
		require.NoError(t, err)
	}
	require.NoError(t, os.WriteFile(state, []byte(`{"gr`), 0o600))
	_, _, err := kre(t, Command{RPC: "Greet"}, "")
	require.ErrorContains(t, err, ".kre/run.json in "+project)
}

func TestWithoutARunningVersionTheUsualAddressIsTaken(t *testing.T) {
	t.Chdir(t.TempDir())
	addr, err := (&Command{}).address()
	require.NoError(t, err)
	require.Equal(t, "localhost:9000", addr)
}

func TestTimesAreReadable(t *testing.T) {
	for text, want := range map[string]string{
		"total=3100;queue=400;etl=412;model=1870;reply=80": "3.1 ms = queue 0.4 + etl 0.4 + model 1.9 + reply 0.1",
		"total=250000;queue=1000;reply=249000":             "250 ms = queue 1.0 + reply 249",
		"total=2400000;queue=2100000;reply=300000":         "2.4 s = queue 2.1 + reply 0.3",
		"total=5":       "0.0 ms",
		"":              "",
		"queue=1":       "",
		"total=x;what?": "",
	} {
		require.Equal(t, want, parseTiming(text).String(), text)
	}
}

func TestExamplesEndWhereMessagesHoldThemselves(t *testing.T) {
	set, err := protos.Compile(t.Context(), fstest.MapFS{"demo.proto": {Data: []byte(source)}}, "demo.proto")
	require.NoError(t, err)
	all := set.Main.Messages().ByName("All")
	require.NoError(t, protojson.Unmarshal([]byte(example(all)), dynamicpb.NewMessage(all)))
}
