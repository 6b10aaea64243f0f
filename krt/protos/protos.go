// Package protos compiles the .proto files of a KRT package into descriptors, without protoc, and reports everything
// that is wrong with them at once. It serves validation, the entrypoint and code generation alike, so that all of them
// resolve imports and judge sources in the same way. It generates no code and serves no rpc.
package protos

import (
	"context"
	"fmt"
	"io/fs"
	"strings"

	"github.com/bufbuild/protocompile"
	"github.com/bufbuild/protocompile/linker"
	"github.com/bufbuild/protocompile/protoutil"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// Limits of what Compile reads; the package may come from a stranger.
const (
	MaxFileBytes = 1 << 20
	MaxFiles     = 1000
	maxNesting   = 32 // messages within messages, as in protoc
)

// Set is what a package's protos compiled to.
type Set struct {
	// Main is the file of the first path that was asked for.
	Main protoreflect.FileDescriptor
	// Local are the files that came from the package, each after those it imports, with comments and positions.
	Local []protoreflect.FileDescriptor
	// Files holds all files, those of the well-known types that are imported included.
	Files *protoregistry.Files
}

// Problem is one thing that is wrong with a proto.
type Problem struct {
	File    string // path from the package's root
	Line    int    // from 1; 0 when the whole file is meant
	Column  int    // from 1; 0 when the whole line is meant
	Message string // one sentence, lower case, no full stop
	More    int    // where it stands for problems that are not told: how many; it is the last then
}

// String is the problem on one line: file, line and message.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.File + ": " + p.Message
	}
	return fmt.Sprintf("%s (line %d): %s", p.File, p.Line, p.Message)
}

// Problems are all problems that were found, by file in the order of their discovery, then by line. Never empty when
// returned as an error.
type Problems []Problem

// Error is one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Compile compiles the files at paths, and what they import, from fsys. An import is looked for from the root of fsys
// and then among the well-known types (google/protobuf/…); nowhere else. The error is Problems when something is wrong
// with the files, and the context's when that ended first: it looks between files, and leaves nothing running. What the
// files may be made of is bounded, and so are time and memory; see bounds.
func Compile(ctx context.Context, fsys fs.FS, paths ...string) (*Set, error) {
	sources := newSources(ctx, fsys)
	for _, path := range paths {
		sources.load(path, "", 0, 0)
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := sources.problems.err(); err != nil {
		return nil, err
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(sources),
		Reporter:       sources.problems.reporter(),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	// It would leave its work to go on unseen if it were told of the end. That ends at the next file; see sources.
	files, err := compiler.Compile(context.WithoutCancel(ctx), paths...)
	if ctxErr := ctx.Err(); ctxErr != nil {
		return nil, ctxErr
	}
	if found := sources.problems.err(); found != nil {
		return nil, found
	}
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", strings.Join(paths, ", "), err)
	}
	return newSet(files, sources)
}

// Reading finds out what protos import, as Compile does. All that is read by one together is bounded as what Compile reads.
type Reading struct{ bounds *bounds }

// NewReading is one that has read nothing.
func NewReading() *Reading { return &Reading{bounds: newBounds()} }

// Imports are the paths that the source of a proto imports; it need not compile. None are told of a source that cannot be
// read: Compile says why.
func (r *Reading) Imports(source []byte) []string {
	alone := newSources(context.Background(), nil)
	alone.bounds = r.bounds
	file := alone.parse("", source)
	if file == nil {
		return nil
	}
	var paths []string
	for _, imported := range imports(file) {
		paths = append(paths, imported.AsString())
	}
	return paths
}

func newSet(files linker.Files, sources *sources) (*Set, error) {
	set := &Set{Files: new(protoregistry.Files)}
	if len(files) > 0 {
		set.Main = files[0]
	}
	var add func(file protoreflect.FileDescriptor) error
	add = func(file protoreflect.FileDescriptor) error {
		if _, err := set.Files.FindFileByPath(file.Path()); err == nil {
			return nil
		}
		for i := range file.Imports().Len() {
			if err := add(file.Imports().Get(i).FileDescriptor); err != nil {
				return err
			}
		}
		if err := set.Files.RegisterFile(file); err != nil {
			return fmt.Errorf("registering %s: %w", file.Path(), err)
		}
		if sources.has(file.Path()) {
			set.Local = append(set.Local, file)
		}
		return nil
	}
	for _, file := range files {
		if err := add(file); err != nil {
			return nil, err
		}
	}
	return set, nil
}

// Methods are the rpcs of all services of Main, in the order in which they are written.
func (s *Set) Methods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	for i := range s.Main.Services().Len() {
		methods := s.Main.Services().Get(i).Methods()
		for j := range methods.Len() {
			all = append(all, methods.Get(j))
		}
	}
	return all
}

// Method is the rpc of that name among Methods, nil when there is none.
func (s *Set) Method(name string) protoreflect.MethodDescriptor {
	for _, method := range s.Methods() {
		if string(method.Name()) == name {
			return method
		}
	}
	return nil
}

// FileDescriptorSet is the whole set in protobuf's own form, each file after those it imports: what a protoc plugin is
// handed.
func (s *Set) FileDescriptorSet() *descriptorpb.FileDescriptorSet {
	out := &descriptorpb.FileDescriptorSet{}
	done := map[string]bool{}
	var add func(file protoreflect.FileDescriptor)
	add = func(file protoreflect.FileDescriptor) {
		if done[file.Path()] {
			return
		}
		done[file.Path()] = true
		for i := range file.Imports().Len() {
			add(file.Imports().Get(i).FileDescriptor)
		}
		out.File = append(out.File, protoutil.ProtoFromFileDescriptor(file))
	}
	for _, file := range s.Local {
		add(file)
	}
	return out
}

// Reserved reports whether the entrypoint itself serves a service of that name, so that a user's must not repeat it.
func Reserved(service protoreflect.FullName) bool {
	switch service {
	case "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection":
		return true
	}
	return false
}
