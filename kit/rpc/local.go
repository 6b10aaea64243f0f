package rpc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/test/bufconn"
	"google.golang.org/protobuf/proto"
)

// localNetwork is that of a connection within the process.
const localNetwork = "bufconn"

// localBuffer is how much of a stream may be under way within the process, bytes.
const localBuffer = 256 << 10

// method is one unary rpc of a registered service.
type method struct {
	service any
	handle  func(service any, ctx context.Context, decode func(any) error, around grpc.UnaryServerInterceptor) (any, error)
}

// RegisterService registers a service and what implements it, before Serve. It is what generated code calls.
func (s *Server) RegisterService(desc *grpc.ServiceDesc, service any) {
	streams := *desc
	streams.Methods, streams.Streams = nil, slices.Clone(desc.Streams)
	for _, m := range desc.Methods {
		streams.Streams = append(streams.Streams, s.calls.asStream(desc.ServiceName, m))
	}
	s.Server.RegisterService(&streams, service)
	for _, m := range desc.Methods {
		s.local[fullName(desc.ServiceName, m.MethodName)] = method{service: service, handle: m.Handler}
	}
}

func fullName(service, method string) string { return fmt.Sprintf("/%s/%s", service, method) }

// Local is a connection to a server of the same process, for who translates another protocol into its calls: what happens
// around every call (authentication, limits, log, metrics) happens here too. Unary calls are handed over without a
// transport, which costs a third of one that has it; streams, and every call while traces are collected, go over a
// connection in memory. Stop does not wait for unary calls: who makes them ends first.
type Local struct {
	server   *Server
	conn     *grpc.ClientConn
	listener *bufconn.Listener
	served   sync.WaitGroup
}

// Local opens such a connection, after the services are registered. The caller closes it.
func (s *Server) Local() (*Local, error) {
	l := &Local{server: s, listener: bufconn.Listen(localBuffer)}
	var err error
	l.conn, err = grpc.NewClient("passthrough:local", grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(defaultMaxResponseBytes)),
		grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) { return l.listener.DialContext(ctx) }))
	if err != nil {
		return nil, fmt.Errorf("connect within the process: %w", err)
	}
	l.served.Go(func() { _ = s.Server.Serve(l.listener) }) // ends with the server or the listener, which both is in order
	return l, nil
}

// Close ends what is open of it.
func (l *Local) Close() error {
	err := errors.Join(l.conn.Close(), l.listener.Close())
	l.served.Wait()
	return err
}

// NewStream begins a stream.
func (l *Local) NewStream(ctx context.Context, desc *grpc.StreamDesc, name string, opts ...grpc.CallOption) (grpc.ClientStream, error) {
	return l.conn.NewStream(ctx, desc, name, opts...)
}

// Invoke makes a unary call. Of the options, those that ask for header and trailer are looked at.
func (l *Local) Invoke(ctx context.Context, name string, request, answer any, opts ...grpc.CallOption) error {
	method, known := l.server.local[name]
	if !known || l.server.traced {
		return l.conn.Invoke(ctx, name, request, answer, opts...)
	}
	sent, _ := metadata.FromOutgoingContext(ctx)
	// What was meant for this server must not go on to those that it calls itself.
	ctx = metadata.NewOutgoingContext(metadata.NewIncomingContext(ctx, sent), metadata.MD{})
	told := &localTransport{method: name}
	ctx = grpc.NewContextWithServerTransportStream(ctx, told)
	// Neither side may see what the other one does with its message later: hence the copies.
	got, err := method.handle(method.service, ctx, func(into any) error {
		proto.Merge(into.(proto.Message), request.(proto.Message))
		return nil
	}, l.server.calls.unary)
	for _, option := range opts {
		switch option := option.(type) {
		case grpc.HeaderCallOption:
			*option.HeaderAddr = told.header
		case grpc.TrailerCallOption:
			*option.TrailerAddr = told.trailer
		}
	}
	if err != nil {
		return err
	}
	proto.Merge(answer.(proto.Message), got.(proto.Message))
	return nil
}

// localTransport takes what a handler tells beside its answer.
type localTransport struct {
	method          string
	mu              sync.Mutex
	header, trailer metadata.MD
}

// Method is the full name of the rpc.
func (t *localTransport) Method() string { return t.method }

// SetHeader adds to the header.
func (t *localTransport) SetHeader(md metadata.MD) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.header = metadata.Join(t.header, md)
	return nil
}

// SendHeader adds to the header, which is handed over with the answer.
func (t *localTransport) SendHeader(md metadata.MD) error { return t.SetHeader(md) }

// SetTrailer adds to the trailer.
func (t *localTransport) SetTrailer(md metadata.MD) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.trailer = metadata.Join(t.trailer, md)
	return nil
}
