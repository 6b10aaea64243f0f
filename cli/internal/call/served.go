package call

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	reflectionv1 "google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
)

// served is what a version offers.
type served struct {
	files   *protoregistry.Files
	methods []protoreflect.MethodDescriptor // of the version's own services, by full name
}

// discover asks a server what it serves.
func discover(ctx context.Context, conn *grpc.ClientConn) (*served, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel() // ends the stream
	stream, err := reflectionv1.NewServerReflectionClient(conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, lookupError(err)
	}
	r := &reflector{stream: stream, files: make(map[string]*descriptorpb.FileDescriptorProto)}
	names, err := r.services()
	if err != nil {
		return nil, lookupError(err)
	}
	for _, name := range names {
		if err := r.fetch(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: name},
		}); err != nil {
			return nil, lookupError(err)
		}
	}
	set := &descriptorpb.FileDescriptorSet{}
	for _, file := range r.files {
		set.File = append(set.File, file)
	}
	files, err := protodesc.NewFiles(set)
	if err != nil {
		return nil, fmt.Errorf("understand its protos: %w", err)
	}
	return newServed(files, names)
}

func newServed(files *protoregistry.Files, services []string) (*served, error) {
	s := &served{files: files}
	for _, name := range services {
		descriptor, err := files.FindDescriptorByName(protoreflect.FullName(name))
		if err != nil {
			return nil, fmt.Errorf("find service %s among its protos: %w", name, err)
		}
		service, ok := descriptor.(protoreflect.ServiceDescriptor)
		if !ok {
			return nil, fmt.Errorf("%s is no service among its protos", name)
		}
		for i := range service.Methods().Len() {
			s.methods = append(s.methods, service.Methods().Get(i))
		}
	}
	return s, nil
}

func lookupError(err error) error {
	if status.Code(err) == codes.Unimplemented {
		return errors.New("it has no reflection, so it is no entrypoint of a version")
	}
	return err
}

// reflector gathers files over one reflection stream.
type reflector struct {
	stream grpc.BidiStreamingClient[reflectionv1.ServerReflectionRequest, reflectionv1.ServerReflectionResponse]
	files  map[string]*descriptorpb.FileDescriptorProto
}

func (r *reflector) ask(request *reflectionv1.ServerReflectionRequest) (*reflectionv1.ServerReflectionResponse, error) {
	if err := r.stream.Send(request); err != nil && !errors.Is(err, io.EOF) { // EOF: Recv tells why
		return nil, err
	}
	response, err := r.stream.Recv()
	if err != nil {
		return nil, err
	}
	if failure := response.GetErrorResponse(); failure != nil {
		return nil, status.Error(codes.Code(failure.GetErrorCode()), failure.GetErrorMessage())
	}
	return response, nil
}

// services returns the names of the version's own services, sorted.
func (r *reflector) services() ([]string, error) {
	response, err := r.ask(&reflectionv1.ServerReflectionRequest{
		MessageRequest: &reflectionv1.ServerReflectionRequest_ListServices{},
	})
	if err != nil {
		return nil, err
	}
	var names []string
	for _, service := range response.GetListServicesResponse().GetService() {
		if !strings.HasPrefix(service.GetName(), "grpc.") {
			names = append(names, service.GetName())
		}
	}
	slices.Sort(names)
	return names, nil
}

// fetch gathers the files that answer a request, and those that they import.
func (r *reflector) fetch(request *reflectionv1.ServerReflectionRequest) error {
	response, err := r.ask(request)
	if err != nil {
		return err
	}
	var imported []string
	for _, serialized := range response.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(serialized, file); err != nil {
			return fmt.Errorf("understand its protos: %w", err)
		}
		r.files[file.GetName()] = file
		imported = append(imported, file.GetDependency()...)
	}
	for _, name := range imported {
		if r.files[name] != nil {
			continue
		}
		if err := r.fetch(&reflectionv1.ServerReflectionRequest{
			MessageRequest: &reflectionv1.ServerReflectionRequest_FileByFilename{FileByFilename: name},
		}); err != nil {
			return err
		}
	}
	return nil
}

// find returns the method that name means: Greet, Greeter/Greet, Greeter.Greet, or with the package before it.
func (s *served) find(name string) (protoreflect.MethodDescriptor, error) {
	wanted := "." + strings.ReplaceAll(strings.TrimPrefix(name, "/"), "/", ".")
	var found []protoreflect.MethodDescriptor
	for _, method := range s.methods {
		if strings.HasSuffix("."+string(method.FullName()), wanted) {
			found = append(found, method)
		}
	}
	switch len(found) {
	case 0:
		return nil, s.unknown(name)
	case 1:
		if found[0].IsStreamingClient() || found[0].IsStreamingServer() {
			return nil, fmt.Errorf("%s is a stream; kre call makes plain calls only", found[0].FullName())
		}
		return found[0], nil
	}
	var paths []string
	for _, method := range found {
		paths = append(paths, path(method)[1:])
	}
	return nil, fmt.Errorf("%s may mean any of %s: give more of the name", name, strings.Join(paths, ", "))
}

func (s *served) unknown(name string) error {
	var names []string
	for _, method := range s.methods {
		names = append(names, string(method.Name()))
	}
	if len(names) == 0 {
		return fmt.Errorf("unknown rpc %q: the version serves none", name)
	}
	if near := nearest(name[strings.LastIndexAny(name, "./")+1:], names); near != "" {
		return fmt.Errorf("unknown rpc %q; did you mean %q?", name, near)
	}
	return fmt.Errorf("unknown rpc %q; there are %s", name, strings.Join(names, ", "))
}

// path returns what a method is called on the wire.
func path(method protoreflect.MethodDescriptor) string {
	return "/" + string(method.Parent().FullName()) + "/" + string(method.Name())
}

// list prints a command for every rpc.
func (s *served) list(w io.Writer, addr string) error {
	if len(s.methods) == 0 {
		_, err := fmt.Fprintf(w, "%s serves no rpc\n", addr)
		return err
	}
	service := ""
	for _, method := range s.methods {
		if parent := string(method.Parent().FullName()); parent != service {
			service = parent
			if _, err := fmt.Fprintf(w, "%s at %s\n", service, addr); err != nil {
				return err
			}
		}
		if method.IsStreamingClient() || method.IsStreamingServer() {
			continue
		}
		if _, err := fmt.Fprintf(w, "  kre call %s '%s'\n", s.shortest(method), example(method.Input())); err != nil {
			return err
		}
	}
	return nil
}

// shortest returns the shortest name by which find finds a method.
func (s *served) shortest(method protoreflect.MethodDescriptor) string {
	for _, name := range []string{string(method.Name()), string(method.Parent().Name()) + "/" + string(method.Name())} {
		if found, err := s.find(name); err == nil && found == method {
			return name
		}
	}
	return path(method)[1:]
}

// nearest returns the name that was probably meant, or none.
func nearest(wrong string, names []string) string {
	best, bestDistance := "", max(2, len(wrong)/3)+1
	for _, name := range names {
		if d := distance(strings.ToLower(wrong), strings.ToLower(name)); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance returns how many letters must be added, taken away or changed to make b of a.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
