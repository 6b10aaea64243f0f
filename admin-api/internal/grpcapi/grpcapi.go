// Package grpcapi serves the use cases of the engine as kre.admin.v1. It translates, and knows who may call; it decides
// nothing else.
package grpcapi

import (
	"fmt"
	"regexp"
	"strings"

	"google.golang.org/grpc"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Register registers the services with a server.
func Register(server grpc.ServiceRegistrar, engine *engine.Engine) {
	adminv1.RegisterRuntimeServiceServer(server, &runtimeService{engine: engine})
	adminv1.RegisterVersionServiceServer(server, &versionService{engine: engine})
}

// StreamOpen is the metadata by which a stream that may be silent for long says that it has begun.
const StreamOpen = "kre-stream"

var part = regexp.MustCompile(`^[A-Za-z0-9]([-A-Za-z0-9._]*[A-Za-z0-9])?$`)

// parse reads a resource name by its pattern, e.g. `runtimes/*/versions/*`, and returns what the stars stand for.
func parse(field, name, pattern string) ([]string, error) {
	want, got := strings.Split(pattern, "/"), strings.Split(name, "/")
	var found []string
	ok := len(want) == len(got)
	for i := 0; ok && i < len(want); i++ {
		if want[i] == "*" {
			ok = part.MatchString(got[i])
			found = append(found, got[i])
		} else {
			ok = want[i] == got[i]
		}
	}
	if ok {
		return found, nil
	}
	shape := strings.Replace(strings.Replace(pattern, "*", "{runtime}", 1), "*", "{version}", 1)
	message := fmt.Sprintf("%q is no such name; want %s", name, shape)
	if name == "" {
		message = "it is required: " + shape
	}
	refusal := fault.New(fault.Invalid, "%s: %s", field, message).For(engine.ReasonInvalidRequest)
	refusal.Fields = []fault.Field{{Path: field, Message: message}}
	return nil, refusal
}

func runtimeName(runtime string) string { return "runtimes/" + runtime }

func versionName(runtime, version string) string {
	if version == "" {
		return ""
	}
	return runtimeName(runtime) + "/versions/" + version
}

func parseRuntime(field, name string) (string, error) {
	parts, err := parse(field, name, "runtimes/*")
	if err != nil {
		return "", err
	}
	return parts[0], nil
}

func parseVersion(field, name string) (runtime, version string, err error) {
	parts, err := parse(field, name, "runtimes/*/versions/*")
	if err != nil {
		return "", "", err
	}
	return parts[0], parts[1], nil
}
