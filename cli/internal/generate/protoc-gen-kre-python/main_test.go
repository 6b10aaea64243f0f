package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// answer runs the plugin over two files, of which it is asked for some.
func answer(t *testing.T, parameter string, wanted ...string) *pluginpb.CodeGeneratorResponse {
	t.Helper()
	request := &pluginpb.CodeGeneratorRequest{FileToGenerate: wanted, Parameter: proto.String(parameter)}
	for _, name := range []string{"a/b-c.proto", "d.proto"} {
		request.ProtoFile = append(request.ProtoFile, &descriptorpb.FileDescriptorProto{
			Name: proto.String(name), Syntax: proto.String("proto3"),
		})
	}
	content, err := proto.Marshal(request)
	require.NoError(t, err)
	var out bytes.Buffer
	require.NoError(t, run(bytes.NewReader(content), &out))
	response := new(pluginpb.CodeGeneratorResponse)
	require.NoError(t, proto.Unmarshal(out.Bytes(), response))
	return response
}

func names(response *pluginpb.CodeGeneratorResponse) []string {
	var found []string
	for _, file := range response.GetFile() {
		found = append(found, file.GetName())
	}
	return found
}

func TestModulesAreCalledAsTheirProtos(t *testing.T) {
	response := answer(t, "", "a/b-c.proto", "d.proto")
	require.Empty(t, response.GetError())
	require.Equal(t, []string{"a/b_c_pb2.py", "a/b_c_pb2.pyi", "d_pb2.py", "d_pb2.pyi"}, names(response))
}

func TestAModuleIsCalledAsTheOptionSays(t *testing.T) {
	response := answer(t, "module=x.y_pb2", "a/b-c.proto")
	require.Empty(t, response.GetError())
	require.Equal(t, []string{"x/y_pb2.py", "x/y_pb2.pyi"}, names(response))
	require.Contains(t, response.GetFile()[0].GetContent(), `BuildTopDescriptorsAndMessages(DESCRIPTOR, "x.y_pb2", _globals)`)
}

func TestAnOptionThatCannotBeMeantIsToldOf(t *testing.T) {
	require.Equal(t, `the option "name=x" is not module=NAME`, answer(t, "name=x", "d.proto").GetError())
	require.Equal(t, "module=x names one module, and there are 2 files",
		answer(t, "module=x", "a/b-c.proto", "d.proto").GetError())
}
