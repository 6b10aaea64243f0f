// Command protoc-gen-kre-python is a plugin of protoc and buf that writes Python modules as `kre generate` does. The
// engine's own Python is generated with it; a project needs neither it nor protoc.
//
// Its one option, module=NAME, says what the module of the one file that is generated is called; without it modules are
// called as their protos are.
package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/konstellation-io/kre/cli/internal/generate"
)

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "protoc-gen-kre-python:", err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	content, err := io.ReadAll(in)
	if err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	request := new(pluginpb.CodeGeneratorRequest)
	if err := proto.Unmarshal(content, request); err != nil {
		return fmt.Errorf("read the request: %w", err)
	}
	response := &pluginpb.CodeGeneratorResponse{
		SupportedFeatures: proto.Uint64(uint64(pluginpb.CodeGeneratorResponse_FEATURE_PROTO3_OPTIONAL)),
	}
	files, err := render(request)
	if err != nil {
		response.Error = proto.String(err.Error())
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		response.File = append(response.File, &pluginpb.CodeGeneratorResponse_File{
			Name:    proto.String(name),
			Content: proto.String(string(files[name])),
		})
	}
	if content, err = proto.Marshal(response); err == nil {
		_, err = out.Write(content)
	}
	if err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// render returns the modules and stubs that are asked for, by path.
func render(request *pluginpb.CodeGeneratorRequest) (map[string][]byte, error) {
	module, err := moduleOption(request)
	if err != nil {
		return nil, err
	}
	set, err := protodesc.NewFiles(&descriptorpb.FileDescriptorSet{File: request.GetProtoFile()})
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, path := range request.GetFileToGenerate() {
		found, err := set.FindFileByPath(path)
		if err != nil {
			return nil, err
		}
		more, err := generate.PythonModule(found, module)
		if err != nil {
			return nil, err
		}
		maps.Copy(files, more)
	}
	return files, nil
}

// moduleOption returns what the module is to be called; empty: as its proto.
func moduleOption(request *pluginpb.CodeGeneratorRequest) (string, error) {
	parameter := request.GetParameter()
	if parameter == "" {
		return "", nil
	}
	module, ok := strings.CutPrefix(parameter, "module=")
	if !ok || module == "" || strings.Contains(module, ",") {
		return "", fmt.Errorf("the option %q is not module=NAME", parameter)
	}
	if files := len(request.GetFileToGenerate()); files != 1 {
		return "", fmt.Errorf("module=%s names one module, and there are %d files", module, files)
	}
	return module, nil
}
