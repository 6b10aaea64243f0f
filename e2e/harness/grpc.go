package harness

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/reflection/grpc_reflection_v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
)

// Client calls a version over gRPC. It learns the messages by reflection.
type Client struct {
	Conn *grpc.ClientConn

	mu       sync.Mutex
	services map[string]protoreflect.ServiceDescriptor
}

// GRPC connects to the version's gRPC port. The connection is closed when the test ends.
func (r *Run) GRPC(t testing.TB) *Client {
	t.Helper()
	conn, err := grpc.NewClient(r.Info.GRPC, grpc.WithTransportCredentials(insecure.NewCredentials()))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, conn.Close()) })
	return NewClient(conn)
}

// NewClient calls whatever answers on the connection.
func NewClient(conn *grpc.ClientConn) *Client {
	return &Client{Conn: conn, services: make(map[string]protoreflect.ServiceDescriptor)}
}

// On is the same client on another connection, to a server of the same services.
func (c *Client) On(conn *grpc.ClientConn) *Client {
	c.mu.Lock()
	defer c.mu.Unlock()
	return &Client{Conn: conn, services: maps.Clone(c.services)}
}

// Call calls an rpc, e.g. "steps.Steps/Chain", with a request given as JSON, and returns the answer as JSON. The error
// is that of the call, with its status.
func (c *Client) Call(ctx context.Context, rpc, body string, opts ...grpc.CallOption) (string, error) {
	service, name, _ := strings.Cut(rpc, "/")
	descriptor, err := c.service(ctx, service)
	if err != nil {
		return "", err
	}
	method := descriptor.Methods().ByName(protoreflect.Name(name))
	if method == nil {
		return "", fmt.Errorf("%s has no rpc %s", service, name)
	}
	request := dynamicpb.NewMessage(method.Input())
	if err := protojson.Unmarshal([]byte(body), request); err != nil {
		return "", fmt.Errorf("the test's request: %w", err)
	}
	answer := dynamicpb.NewMessage(method.Output())
	if err := c.Conn.Invoke(ctx, "/"+rpc, request, answer, opts...); err != nil {
		return "", err
	}
	text, err := protojson.Marshal(answer)
	return string(text), err
}

// service returns the description of a service, which the version is asked for once.
func (c *Client) service(ctx context.Context, name string) (protoreflect.ServiceDescriptor, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if known, ok := c.services[name]; ok {
		return known, nil
	}
	files, err := c.files(ctx, name)
	if err != nil {
		return nil, fmt.Errorf("reflection of %s: %w", name, err)
	}
	found, err := files.FindDescriptorByName(protoreflect.FullName(name))
	if err != nil {
		return nil, err
	}
	service, ok := found.(protoreflect.ServiceDescriptor)
	if !ok {
		return nil, fmt.Errorf("%s is no service", name)
	}
	c.services[name] = service
	return service, nil
}

func (c *Client) files(ctx context.Context, symbol string) (*protoregistry.Files, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := grpc_reflection_v1.NewServerReflectionClient(c.Conn).ServerReflectionInfo(ctx)
	if err != nil {
		return nil, err
	}
	err = stream.Send(&grpc_reflection_v1.ServerReflectionRequest{
		MessageRequest: &grpc_reflection_v1.ServerReflectionRequest_FileContainingSymbol{FileContainingSymbol: symbol},
	})
	if err != nil {
		return nil, err
	}
	response, err := stream.Recv()
	if err != nil {
		return nil, err
	}
	if problem := response.GetErrorResponse(); problem != nil {
		return nil, fmt.Errorf("%s", problem.GetErrorMessage())
	}
	set := new(descriptorpb.FileDescriptorSet)
	for _, encoded := range response.GetFileDescriptorResponse().GetFileDescriptorProto() {
		file := new(descriptorpb.FileDescriptorProto)
		if err := proto.Unmarshal(encoded, file); err != nil {
			return nil, err
		}
		set.File = append(set.File, file)
	}
	return protodesc.FileOptions{AllowUnresolvable: true}.NewFiles(set)
}
