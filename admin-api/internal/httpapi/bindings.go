package httpapi

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"

	"google.golang.org/genproto/googleapis/api/annotations"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// binding is how an rpc is rendered over HTTP, as its google.api.http says.
type binding struct {
	method string
	path   *regexp.Regexp
	input  protoreflect.MessageDescriptor
	body   string   // "*", the field that the body holds, or "" for none
	bound  []string // fields that the path sets
}

// uploadTemplate is the path of UploadVersion, which has no annotation because a client's stream has no rendering.
const uploadTemplate = "/v1/{parent=runtimes/*}/versions"

// bindings reads them from the contracts.
func bindings() []binding {
	var all []binding
	for _, file := range []protoreflect.FileDescriptor{
		adminv1.File_kre_admin_v1_runtime_service_proto, adminv1.File_kre_admin_v1_version_service_proto,
	} {
		for i := range file.Services().Len() {
			methods := file.Services().Get(i).Methods()
			for j := range methods.Len() {
				rule, _ := proto.GetExtension(methods.Get(j).Options(), annotations.E_Http).(*annotations.HttpRule)
				if rule != nil {
					all = append(all, bindingOf(rule, methods.Get(j).Input()))
				}
			}
		}
	}
	return append(all, binding{
		method: http.MethodPost, path: matcher(uploadTemplate), bound: []string{"parent", "chunk"},
		input: (&adminv1.UploadVersionRequest{}).ProtoReflect().Descriptor(),
	})
}

func bindingOf(rule *annotations.HttpRule, input protoreflect.MessageDescriptor) binding {
	var method, template string
	switch pattern := rule.GetPattern().(type) {
	case *annotations.HttpRule_Get:
		method, template = http.MethodGet, pattern.Get
	case *annotations.HttpRule_Post:
		method, template = http.MethodPost, pattern.Post
	case *annotations.HttpRule_Patch:
		method, template = http.MethodPatch, pattern.Patch
	case *annotations.HttpRule_Put:
		method, template = http.MethodPut, pattern.Put
	case *annotations.HttpRule_Delete:
		method, template = http.MethodDelete, pattern.Delete
	}
	b := binding{method: method, path: matcher(template), input: input, body: rule.GetBody()}
	for _, variable := range inTemplate.FindAllStringSubmatch(template, -1) {
		b.bound = append(b.bound, variable[1])
	}
	return b
}

var inTemplate = regexp.MustCompile(`\{([^=}]+)=([^}]+)\}`)

// matcher matches the paths of a template such as /v1/{name=runtimes/*}:watch.
func matcher(template string) *regexp.Regexp {
	plain := inTemplate.ReplaceAllString(template, "$2")
	return regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(plain), `\*`, `[^/]+`) + "$")
}

// find returns what a request is bound to: of two paths that match, the one that says more.
func find(all []binding, method, path string) (binding, bool) {
	var found binding
	for _, b := range all {
		if b.method == method && b.path.MatchString(path) && (found.path == nil || len(b.path.String()) > len(found.path.String())) {
			found = b
		}
	}
	return found, found.path != nil
}

// allowed returns the methods that a path has, for who used another one.
func allowed(all []binding, path string) []string {
	var methods []string
	for _, b := range all {
		if b.path.MatchString(path) && !slices.Contains(methods, b.method) {
			methods = append(methods, b.method)
		}
	}
	slices.Sort(methods)
	return methods
}

// parameters returns what is wrong with the names of the query's parameters: a misspelt one would do nothing unseen.
func (b binding) parameters(query map[string][]string) []fault.Field {
	var wrong []fault.Field
	for name := range query {
		if b.body == "*" {
			wrong = append(wrong, fault.Field{Path: name, Message: "there are no parameters here: it belongs into the body"})
			continue
		}
		if b.parameter(name) == nil {
			wrong = append(wrong, fault.Field{Path: name, Message: "there is no such parameter" + thereAre(b.known())})
		}
	}
	slices.SortFunc(wrong, func(a, b fault.Field) int { return strings.Compare(a.Path, b.Path) })
	return wrong
}

// parameter returns the field that a parameter sets; nil: none.
func (b binding) parameter(name string) protoreflect.FieldDescriptor {
	field := fieldOf(b.input, name)
	if field == nil || slices.Contains(b.bound, string(field.Name())) || b.body == string(field.Name()) {
		return nil
	}
	return field
}

func (b binding) known() []string {
	var names []string
	for i := range b.input.Fields().Len() {
		if field := b.input.Fields().Get(i); b.parameter(field.JSONName()) != nil {
			names = append(names, field.JSONName())
		}
	}
	return names
}

// fieldOf finds a field by either of its names.
func fieldOf(message protoreflect.MessageDescriptor, name string) protoreflect.FieldDescriptor {
	if field := message.Fields().ByJSONName(name); field != nil {
		return field
	}
	return message.Fields().ByName(protoreflect.Name(name))
}

func thereAre(names []string) string {
	switch len(names) {
	case 0:
		return "; there are none"
	case 1:
		return fmt.Sprintf("; there is `%s`", names[0])
	}
	return fmt.Sprintf("; there are `%s`", strings.Join(names, "`, `"))
}
