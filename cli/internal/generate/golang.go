package generate

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/mod/modfile"
	"google.golang.org/protobuf/cmd/protoc-gen-go/internal_gengo"
	"google.golang.org/protobuf/compiler/protogen"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"

	"github.com/konstellation-io/kre/krt/protos"
)

const goSuffix = ".pb.go"

// googleModules begins the import paths of the modules in which Google publishes the types of its protos.
const googleModules = "google.golang.org/"

// modulePath returns the module path that go.mod names; empty: there is none.
func modulePath(fsys fs.FS) (string, error) {
	content, err := fs.ReadFile(fsys, "go.mod")
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("read go.mod: %w", err)
	}
	module := modfile.ModulePath(content)
	if module == "" {
		return "", errors.New("go.mod names no module: its first line should be `module NAME`")
	}
	return module, nil
}

// goPackages adds the Go files of a set, which lie in the given module.
func (o *Output) goPackages(set *protos.Set, public, module string) error {
	o.golang = true
	if len(set.Local) == 0 {
		return nil
	}
	request := &pluginpb.CodeGeneratorRequest{
		Parameter: proto.String("module=" + module),
		ProtoFile: set.FileDescriptorSet().GetFile(),
	}
	packages := make(map[string]string)
	for _, file := range set.Local {
		if strings.HasPrefix(goPackageOption(file), googleModules) {
			continue // a copy of what is published; a second registration of it would end the program
		}
		request.FileToGenerate = append(request.FileToGenerate, file.Path())
		packages[file.Path()] = o.goPackage(file, public, module)
	}
	for _, file := range request.GetProtoFile() {
		if goPackage, local := packages[file.GetName()]; local {
			// The option is part of the descriptor that the Go file embeds, so it says what holds.
			file.Options = proto.CloneOf(cmp.Or(file.Options, &descriptorpb.FileOptions{}))
			file.Options.GoPackage = proto.String(goPackage)
		}
	}
	plugin, err := protogen.Options{}.New(request)
	if err != nil {
		return fmt.Errorf("generate Go: %w", err)
	}
	plugin.SupportedEditionsMinimum = internal_gengo.SupportedEditionsMinimum
	plugin.SupportedEditionsMaximum = internal_gengo.SupportedEditionsMaximum
	plugin.SupportedFeatures = internal_gengo.SupportedFeatures
	for _, file := range plugin.Files {
		if file.Generate {
			internal_gengo.GenerateFile(plugin, file)
		}
	}
	response := plugin.Response()
	if response.Error != nil {
		return fmt.Errorf("generate Go: %s", response.GetError())
	}
	for _, file := range response.GetFile() {
		o.Files[file.GetName()] = []byte(file.GetContent())
	}
	return nil
}

// goPackage returns the go_package of a file: its own where that lies in the module, be it given from the module's root
// (`./pb`); else `<module>/pb`, and below it the folder of the file as seen from the public proto.
func (o *Output) goPackage(file protoreflect.FileDescriptor, public, module string) string {
	written := goPackageOption(file)
	importPath, name, named := strings.Cut(written, ";")
	if named {
		name = ";" + name
	}
	switch {
	case importPath == module, strings.HasPrefix(importPath, module+"/"):
		return path.Clean(importPath) + name
	case importPath == ".", strings.HasPrefix(importPath, "./"):
		return path.Join(module, importPath) + name
	}
	folder := path.Dir(file.Path())
	if base := path.Dir(public); base == folder {
		folder = ""
	} else if base != "." {
		folder = strings.TrimPrefix(folder, base+"/")
	}
	chosen := path.Join(module, "pb", folder)
	if written != "" {
		o.Warnings = append(o.Warnings, fmt.Sprintf("%s: its go_package %q lies outside the module %s: its Go types are written to %s",
			file.Path(), written, module, chosen))
	}
	return chosen
}

func goPackageOption(file protoreflect.FileDescriptor) string {
	options, ok := file.Options().(*descriptorpb.FileOptions)
	if !ok {
		return ""
	}
	return options.GetGoPackage()
}
