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
	if m == nil {
		return nil
	}
	c := &checker{reader: newReader(m.file), m: m, files: files}
	c.programs()
	c.proto()
	c.problems.sort()
	return c.problems
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

func (c *checker) proto() {
	if c.m.Proto == "" {
		return
	}
	if !c.files.Exists(c.m.Proto) {
		if c.m.protoGiven {
			c.report(c.place("entrypoint.proto"), ruleNoFile, c.m.Proto, c.suggestion(c.m.Proto))
		}
		c.m.Proto = ""
		return
	}
	// Compiling is bounded by the size of what it reads and waits for nothing, so that nobody need be able to end it.
	set, err := protos.Compile(context.Background(), c.files, c.m.Proto)
	var problems protos.Problems
	switch {
	case errors.As(err, &problems):
		for _, p := range problems {
			c.inProto(p.File, p.Line, ruleProto, p.Message)
		}
	case err != nil:
		c.inProto(c.m.Proto, 0, ruleProto, err.Error())
	default:
		c.rpcs(set)
	}
}

func (c *checker) inProto(file string, line int, what rule, args ...any) *Problem {
	c.problems = append(c.problems, Problem{
		File: file, Path: file, Line: line, Message: fmt.Sprintf(string(what), args...), rule: what,
	})
	return &c.problems[len(c.problems)-1]
}

func lineOfDescriptor(d protoreflect.Descriptor) int {
	return d.ParentFile().SourceLocations().ByDescriptor(d).StartLine + 1
}

func (c *checker) rpcs(set *protos.Set) {
	services := set.Main.Services()
	for i := range services.Len() {
		if service := services.Get(i); protos.Reserved(service.FullName()) {
			c.inProto(c.m.Proto, lineOfDescriptor(service), ruleOwnService, service.FullName())
		}
	}
	methods := map[string]protoreflect.MethodDescriptor{}
	var names []string
	for _, method := range set.Methods() {
		name := string(method.Name())
		if earlier, twice := methods[name]; twice {
			c.inProto(c.m.Proto, lineOfDescriptor(method), ruleRPCTwice, name, earlier.Parent().FullName(), lineOfDescriptor(earlier))
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
			c.inProto(c.m.Proto, lineOfDescriptor(methods[name]), warnRPC, name).Warning = true
		}
	}
}
