package manifest

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/krt/protos"
)

// Check complains about what a manifest and its package do not agree on: programs that are not there, a .proto that
// does not compile, rpcs that it lacks. It completes the manifest with what only the package tells: the src of the nodes
// of a V1 manifest, and that there is no .proto. What Parse has complained about already is passed over; nil is fine.
func Check(m *Manifest, files Files) Problems {
	// Compiling is bounded, so that nobody need be able to end it.
	protos, _ := CheckProto(context.Background(), m, files)
	return Join(CheckPrograms(m, files), protos)
}

// CheckPrograms is the part of Check that needs no more than the names of the files.
func CheckPrograms(m *Manifest, files Files) Problems {
	if m == nil {
		return nil
	}
	c := newChecker(m, files)
	c.programs()
	return Join(c.problems)
}

// CheckProto is the rest of Check. It may take a second or two, and up to 128 MiB; the error is that of the context when it ends
// before.
func CheckProto(ctx context.Context, m *Manifest, files Files) (Problems, error) {
	if m == nil {
		return nil, nil
	}
	c := newChecker(m, files)
	err := c.proto(ctx)
	return Join(c.problems), err
}

func newChecker(m *Manifest, files Files) *checker {
	return &checker{reader: newReader(m.file), m: m, files: files}
}

type checker struct {
	*reader
	m     *Manifest
	files Files
	names []string // of files, once they are needed
}

// place is where the manifest says something.
func (c *checker) place(path string) value { return value{path: path, line: c.m.Line(path)} }

func (c *checker) suggestion(missing string) string {
	if c.names == nil {
		c.names = c.files.Names()
	}
	return c.hints.file(missing, c.names)
}

func (c *checker) programs() {
	told := map[string]bool{} // a node of a V1 manifest may be in several workflows
	for i := range c.m.Workflows {
		nodes := c.m.Workflows[i].Nodes
		for j := range nodes {
			if n := &nodes[j]; !c.program(n, told[n.path]) {
				told[n.path] = true
			}
		}
	}
}

func (c *checker) program(n *Node, told bool) bool {
	at := c.place(n.path + ".src")
	switch {
	case n.srcGiven && n.Src == "" || n.Name == "":
		return true // it was complained about
	case n.Src == "" && c.m.Format == V2:
		return true // so was that
	case n.Src == "":
		var tried []string
		for _, src := range []string{"src/" + n.Name + "/main.py", "src/" + n.Name + ".py", "bin/" + n.Name} {
			if c.files.Exists(src) {
				n.Src = src
				return true
			}
			tried = append(tried, src)
		}
		if !told {
			c.report(at, ruleNoSrc, strings.Join(tried, ", "))
		}
		return false
	case c.files.Exists(n.Src):
		return true
	}
	if !told {
		rule := ruleNoFile
		if _, project := c.files.(projectFiles); project && strings.HasPrefix(n.Src, "bin/") {
			rule = ruleNoGoSource
		}
		c.report(at, rule, n.Src, c.suggestion(n.Src))
	}
	return false
}

func (c *checker) proto(ctx context.Context) error {
	if c.m.Proto == "" {
		return nil
	}
	if !c.files.Exists(c.m.Proto) {
		if c.m.protoGiven {
			c.report(c.place("entrypoint.proto"), ruleNoFile, c.m.Proto, c.suggestion(c.m.Proto))
		}
		c.m.Proto = ""
		return nil
	}
	set, err := protos.Compile(ctx, c.files, c.m.Proto)
	var problems protos.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			if p.More > 0 {
				c.add(Problem{File: p.File, Path: p.File, rule: ruleMore, more: more{complaints: p.More}})
				continue
			}
			c.add(inProto(p.File, p.Line, ruleProto, p.Message))
		}
	case ctx.Err() != nil:
		return ctx.Err()
	case err != nil:
		c.add(inProto(c.m.Proto, 0, ruleProto, err.Error()))
	default:
		c.rpcs(set)
	}
	return nil
}

func inProto(file string, line int, what rule, args ...any) Problem {
	return Problem{File: file, Path: file, Line: line, Message: fmt.Sprintf(string(what), args...), rule: what}
}

func lineOfDescriptor(d protoreflect.Descriptor) int {
	return d.ParentFile().SourceLocations().ByDescriptor(d).StartLine + 1
}

func (c *checker) rpcs(set *protos.Set) {
	services := set.Main.Services()
	for i := range services.Len() {
		if service := services.Get(i); protos.Reserved(service.FullName()) {
			c.add(inProto(c.m.Proto, lineOfDescriptor(service), ruleOwnService, service.FullName()))
		}
	}
	methods := map[string]protoreflect.MethodDescriptor{}
	var names []string
	for _, method := range set.Methods() {
		name := string(method.Name())
		if earlier, twice := methods[name]; twice {
			c.add(inProto(c.m.Proto, lineOfDescriptor(method), ruleRPCTwice, name, earlier.Parent().FullName(), lineOfDescriptor(earlier)))
			continue
		}
		methods[name] = method
		names = append(names, name)
	}
	unclear := false // a workflow has no rpc of its own, so that it may be meant to answer any
	answered := map[string]bool{}
	for _, w := range c.m.Workflows {
		at := c.place(w.path + ".entrypoint")
		if _, given := c.m.lines[at.path]; !given {
			at = c.place(w.path + ".name") // of which the first format makes the rpc's name
		}
		method, ok := methods[w.RPC]
		switch {
		case w.RPC == "":
			unclear = true
		case !ok:
			unclear = true
			c.report(at, ruleUnknownRPC, w.RPC, c.m.Proto, c.hints.name(w.RPC, names))
		case method.IsStreamingClient() || method.IsStreamingServer():
			c.report(at, ruleStreams, w.RPC)
		}
		answered[w.RPC] = true
	}
	for _, name := range names {
		if !answered[name] && !unclear {
			unanswered := inProto(c.m.Proto, lineOfDescriptor(methods[name]), warnRPC, name)
			unanswered.Warning = true
			c.add(unanswered)
		}
	}
}
