// Package service is the service of a version as its callers see it: its rpcs, their types and the sources that
// describe them. It is made once, at start, from the package's .proto; it answers nothing itself.
package service

import (
	"context"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/krt/protos"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/conform"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/envelope"
)

// Service is what a version offers.
type Service struct {
	Version     string                           // mapped name
	Descriptors []protoreflect.ServiceDescriptor // of the public proto, in its order
	RPCs        []*RPC                           // that a workflow answers, in the order of the proto
	Sources     []Source                         // the public proto first, then what it imports from the package
	Resolver    *Resolver
}

// RPC is one that a workflow answers.
type RPC struct {
	Name     string // Estimate
	Path     string // /price.Price/Estimate
	Workflow string // name as written
	Subject  string // of entry messages
	Timeout  time.Duration
	Finishes bool // what has begun is finished, whoever has gone

	Questions string      // subject on which nodes are asked where requests are; empty: they are not
	Nodes     []plan.Step // those from which the exitpoint can be reached, itself included

	Input    protoreflect.MessageDescriptor
	Output   protoreflect.MessageDescriptor
	Method   protoreflect.MethodDescriptor
	Requests *conform.Checker // of Input
	Envelope envelope.Type    // of Input
}

// Source is the text of a .proto.
type Source struct {
	Path string // from the package's root
	Text []byte
}

// Load compiles the public proto of the package pkg. Without one, the service is kre.Entrypoint, whose rpcs take and
// give a google.protobuf.Struct. An error says what in the package or in the configuration is wrong.
func Load(ctx context.Context, config plan.Entrypoint, pkg fs.FS) (*Service, error) {
	path := config.Proto
	if path == "" {
		source, err := structProto(config.Workflows)
		if err != nil {
			return nil, err
		}
		path, pkg = structProtoPath, memory{path: structProtoPath, text: source}
	}
	set, err := protos.Compile(ctx, pkg, path)
	if err != nil {
		return nil, fmt.Errorf("compiling %s: %w", path, err)
	}
	s := &Service{Version: config.Version, Resolver: newResolver(set.Files)}
	if err := s.describe(set, config.Workflows); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, s.read(set, pkg)
}

func (s *Service) describe(set *protos.Set, workflows []plan.EntrypointTarget) error {
	for i := range set.Main.Services().Len() {
		descriptor := set.Main.Services().Get(i)
		if protos.Reserved(descriptor.FullName()) {
			return fmt.Errorf("the entrypoint itself serves %s: give the service another name", descriptor.FullName())
		}
		s.Descriptors = append(s.Descriptors, descriptor)
	}
	targets := make(map[string]plan.EntrypointTarget, len(workflows))
	for _, target := range workflows {
		targets[target.RPC] = target
	}
	for _, method := range set.Methods() {
		target, answered := targets[string(method.Name())]
		if !answered {
			continue
		}
		delete(targets, target.RPC)
		if method.IsStreamingClient() || method.IsStreamingServer() {
			return fmt.Errorf("workflow %s: rpc %s streams; an rpc that a workflow answers takes and gives one message",
				target.Name, target.RPC)
		}
		s.RPCs = append(s.RPCs, newRPC(method, target))
	}
	for _, target := range targets {
		return fmt.Errorf("workflow %s: no service has an rpc %s", target.Name, target.RPC)
	}
	return nil
}

func newRPC(method protoreflect.MethodDescriptor, target plan.EntrypointTarget) *RPC {
	return &RPC{
		Name:     target.RPC,
		Path:     "/" + string(method.Parent().FullName()) + "/" + string(method.Name()),
		Workflow: target.Name,
		Subject:  target.Subject,
		Timeout:  time.Duration(target.TimeoutMs) * time.Millisecond,
		Finishes: target.Expired == manifest.ExpiredFinish,

		Questions: target.Questions,
		Nodes:     target.Path,

		Input:    method.Input(),
		Output:   method.Output(),
		Method:   method,
		Requests: conform.New(method.Input()),
		Envelope: envelope.NewType(method.Input().FullName()),
	}
}

func (s *Service) read(set *protos.Set, pkg fs.FS) error {
	for i := len(set.Local) - 1; i >= 0; i-- { // what is imported comes after what imports it
		path := set.Local[i].Path()
		text, err := fs.ReadFile(pkg, path)
		if err != nil {
			return fmt.Errorf("reading %s: %w", path, err)
		}
		s.Sources = append(s.Sources, Source{Path: path, Text: text})
	}
	return nil
}

// Unknown is the sentence for a caller who asked for an rpc that no workflow answers.
func (s *Service) Unknown(path string) string {
	known := make([]string, len(s.RPCs))
	for i, rpc := range s.RPCs {
		known[i] = rpc.Path
	}
	return fmt.Sprintf("version %s answers no rpc %s; it answers %s", s.Version, shorten(path), strings.Join(known, ", "))
}

// shorten keeps a caller from having a long text repeated.
func shorten(path string) string {
	const limit = 200
	path = strings.ToValidUTF8(path, "\uFFFD")
	if len(path) > limit {
		return strings.ToValidUTF8(path[:limit], "") + "…"
	}
	return path
}
