package run

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/krt/protos"
)

// Who speaks for the version as a whole.
const (
	startColumn = "start"
	readyColumn = "ready"
	tryColumn   = "try"
)

// sayReady tells that the version takes calls, where, and one to try.
func (s *session) sayReady(ctx context.Context, took time.Duration) {
	where := fmt.Sprintf("grpc :%d  http :%d", s.grpc, s.http)
	if s.watcher != nil {
		where += "  watching"
	}
	if len(s.current.nodes) == 1 {
		s.screen.Say(s.current.nodes[0].key, "ready %s   %s", seconds(took), where)
	} else {
		var started []string
		for _, n := range s.current.nodes {
			started = append(started, n.key+" ✓")
		}
		s.screen.Say(startColumn, "%s  %s", strings.Join(started, " "), seconds(took))
		s.screen.Say(readyColumn, "%s", where)
	}
	rpc, service, body := s.sampleCall(ctx)
	if rpc != "" {
		s.screen.Say(tryColumn, "kre call %s '%s'\ncurl --json '%s' localhost:%d/%s/%s", rpc, body, body, s.http, service, rpc)
	}
	s.screen.Say("", "Ctrl-C stops everything")
}

// waiting knows which nodes are not ready yet.
type waiting struct {
	mu   sync.Mutex
	keys []string
}

func newWaiting(nodes []node) *waiting {
	w := &waiting{}
	for _, n := range nodes {
		w.keys = append(w.keys, n.key)
	}
	return w
}

func (w *waiting) ready(key string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.keys = slices.DeleteFunc(w.keys, func(one string) bool { return one == key })
}

// patience is how long a start goes on in silence.
const patience = 5 * time.Second

// tell shows now and then who is waited for, until the function it returns is called, which may be done twice.
func (w *waiting) tell(screen *screen.Screen) (stop func()) {
	over, told := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(told)
		for pause := patience; ; pause *= 2 {
			select {
			case <-over:
				return
			case <-time.After(pause):
			}
			w.mu.Lock()
			names := strings.Join(w.keys, ", ")
			w.mu.Unlock()
			if names != "" {
				screen.Say(startColumn, "waiting for %s", names)
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(over)
		<-told
	})
}

// withoutProto is the service of a version that has no proto.
const withoutProto = "kre.Entrypoint"

// sampleCall is a call of the first workflow that can be made as it stands.
func (s *session) sampleCall(ctx context.Context) (rpc, service, body string) {
	m := s.current.manifest
	if len(m.Workflows) == 0 {
		return "", "", ""
	}
	rpc = m.Workflows[0].RPC
	if m.Proto == "" {
		return rpc, withoutProto, "{}"
	}
	set, err := protos.Compile(ctx, os.DirFS(s.source.root), m.Proto)
	if err != nil {
		return "", "", "" // it was checked; a save in this moment can break it
	}
	method := set.Method(rpc)
	if method == nil {
		return "", "", ""
	}
	return rpc, string(method.Parent().FullName()), sample(method.Input(), nil)
}

// sampleDepth is how many messages within messages a sample shows.
const sampleDepth = 3

// sample is a message as JSON with a value in each field. within are the messages it lies in, none of which is repeated.
func sample(message protoreflect.MessageDescriptor, within []protoreflect.FullName) string {
	switch message.FullName() {
	case "google.protobuf.Timestamp":
		return `"2026-01-31T12:00:00Z"`
	case "google.protobuf.Duration":
		return `"1.5s"`
	case "google.protobuf.FieldMask":
		return `"field"`
	case "google.protobuf.Value", "google.protobuf.StringValue":
		return `"text"`
	case "google.protobuf.BoolValue":
		return "true"
	case "google.protobuf.BytesValue":
		return `"AAE="`
	case "google.protobuf.ListValue":
		return "[]"
	case "google.protobuf.Struct", "google.protobuf.Any", "google.protobuf.Empty":
		return "{}"
	}
	if message.ParentFile().Path() == "google/protobuf/wrappers.proto" {
		return "1"
	}
	path := append(slices.Clone(within), message.FullName())
	var fields []string
	for i := range message.Fields().Len() {
		field := message.Fields().Get(i)
		if one := field.ContainingOneof(); one != nil && one.Fields().Get(0) != field {
			continue // only one of them may be set
		}
		value := field
		if field.IsMap() {
			value = field.MapValue()
		}
		if inner := value.Message(); inner != nil && (len(path) > sampleDepth || slices.Contains(path, inner.FullName())) {
			continue
		}
		fields = append(fields, fmt.Sprintf("%q: %s", field.JSONName(), sampleField(field, path)))
	}
	return "{" + strings.Join(fields, ", ") + "}"
}

func sampleField(field protoreflect.FieldDescriptor, path []protoreflect.FullName) string {
	if field.IsMap() {
		key := "1"
		switch field.MapKey().Kind() {
		case protoreflect.StringKind:
			key = "key"
		case protoreflect.BoolKind:
			key = "true"
		}
		return fmt.Sprintf("{%q: %s}", key, sampleValue(field.MapValue(), path))
	}
	value := sampleValue(field, path)
	if field.IsList() {
		return "[" + value + "]"
	}
	return value
}

func sampleValue(field protoreflect.FieldDescriptor, path []protoreflect.FullName) string {
	switch field.Kind() {
	case protoreflect.StringKind:
		return `"text"`
	case protoreflect.BytesKind:
		return `"AAE="`
	case protoreflect.BoolKind:
		return "true"
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return fmt.Sprintf("%q", values.Get(values.Len()-1).Name()) // the first one usually says that nothing is meant
	case protoreflect.MessageKind, protoreflect.GroupKind:
		return sample(field.Message(), path)
	}
	return "1"
}
