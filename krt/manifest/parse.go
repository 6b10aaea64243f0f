package manifest

import (
	"path"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// FileNames are the names under which a manifest lies at the root of a package, the second format's first. A package
// has exactly one of them; which format it is in is told by its content.
func FileNames() []string { return []string{"krt.yml", "krt.yaml", "kre.yaml", "kre.yml"} }

// Parse reads a manifest of either format. The name is that of its file, for complaints and for the rare case that the
// content does not tell the format. All problems are returned at once, by line; what merely follows from another one is
// left out. The manifest is nil when the text is no YAML mapping; otherwise it holds whatever could be read, so that
// Check can complain about the package too, and is fit for use when Problems.Err is nil.
func Parse(name string, data []byte) (*Manifest, Problems) {
	r := newReader(name)
	root := r.document(data)
	if root == nil {
		return nil, Join(r.problems)
	}
	top, _ := r.at(root, "")
	if root.Kind != yaml.MappingNode {
		r.report(top, ruleMapping, top.what())
		return nil, Join(r.problems)
	}
	r.format = r.detect(top)
	m := r.manifest(top)
	m.file, m.lines = name, r.lines
	if r.values > maxValues {
		// What could not be read would be complained about as missing.
		r.problems = Problems{*r.tooMany}
	} else {
		r.totals(m)
	}
	return m, Join(r.problems)
}

// sort puts the manifest's own problems first, each file's by line.
func (p Problems) sort() {
	order := map[string]int{}
	for _, one := range p {
		if _, ok := order[one.File]; !ok {
			order[one.File] = len(order)
		}
	}
	slices.SortStableFunc(p, func(a, b Problem) int {
		if d := order[a.File] - order[b.File]; d != 0 {
			return d
		}
		return a.Line - b.Line
	})
}

// detect tells the format: as krtVersion says, else by what holds the nodes, else by the file's name.
func (r *reader) detect(top value) Format {
	if v := lookup(top.node, "krtVersion"); v != nil {
		switch v.Value {
		case string(V1):
			return V1
		case string(V2):
			return V2
		}
	}
	if workflows := lookup(top.node, "workflows"); workflows != nil {
		for _, workflow := range workflows.Content {
			if lookup(workflow, "nodes") != nil {
				return V2
			}
			for _, key := range chainKeys() {
				if lookup(workflow, key) != nil {
					return V1
				}
			}
		}
	}
	if lookup(top.node, "nodes") != nil || strings.HasPrefix(path.Base(r.file), "kre.") {
		return V1
	}
	return V2
}

// lookup is the value of a key, nil when it is absent or node is no mapping.
func lookup(node *yaml.Node, key string) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		if node.Content[i].Value == key {
			if found := node.Content[i+1]; found.Kind == yaml.AliasNode {
				return found.Alias
			}
			return node.Content[i+1]
		}
	}
	return nil
}

func (r *reader) manifest(top value) *Manifest {
	m := &Manifest{Format: r.format, Config: Config{Variables: []string{}, Files: []string{}}}
	known, others := []string{"krtVersion", "version", "description", "entrypoint", "config", "workflows"}, []string{"nodes"}
	if r.format == V1 {
		known, others = append(known, "nodes"), nil
	}
	o, ok := r.object(top, known, others...)
	if !ok {
		return m
	}
	if v, ok := o.get("krtVersion"); ok {
		r.oneOf(v, string(V2), string(V1))
	}
	m.Version, m.ID = r.version(o)
	if v, ok := o.get("description"); ok {
		m.Description, _ = r.text(v)
	}
	r.entrypoint(m, o)
	declared := r.config(m, o)
	if r.format == V1 {
		r.workflowsV1(m, o, declared)
	} else {
		r.workflowsV2(m, o, declared)
	}
	return m
}

// entrypoint reads the public proto; of the rest only the form matters, as the platform supplies the entrypoint.
func (r *reader) entrypoint(m *Manifest, o object) {
	m.Proto = DefaultProto
	v, ok := o.get("entrypoint")
	if !ok {
		return
	}
	if r.format == V1 && v.node.Kind == yaml.SequenceNode {
		items, _ := r.list(v)
		for _, item := range items {
			r.entrypointImage(item)
		}
		r.warn(v, warnEntrypointList)
		return
	}
	e, ok := r.object(v, []string{"proto", "image"})
	if !ok || e.meant["proto"] {
		m.Proto = "" // which one is meant is not known, so that nothing can be said of it
		return
	}
	r.image(e)
	if v, ok := e.get("proto"); ok {
		m.protoGiven = true
		m.Proto = r.path(v)
		if m.Proto != "" && path.Ext(m.Proto) != ".proto" {
			r.report(v, ruleProtoName, shorten(m.Proto))
			m.Proto = ""
		}
	}
}

// entrypointImage checks the form of an entry of the first format's list.
func (r *reader) entrypointImage(v value) {
	e, ok := r.object(v, []string{"image", "name", "entrypoint", "src"})
	if !ok {
		return
	}
	if _, ok := e.need("image", "the entry's container image"); ok {
		r.image(e)
	}
	if v, ok := e.need("name", "the entry's name"); ok {
		r.name(v, r.limit())
	}
	for _, key := range []string{"entrypoint", "src"} {
		if v, ok := e.get(key); ok {
			r.path(v)
		}
	}
}

// config reads the declared configuration values; the result holds their lines.
func (r *reader) config(m *Manifest, o object) map[string]int {
	declared := map[string]int{}
	v, ok := o.get("config")
	if !ok {
		return declared
	}
	c, ok := r.object(v, []string{"variables", "files"})
	if !ok {
		return declared
	}
	read := func(key string, into *[]string) {
		v, ok := c.get(key)
		if !ok {
			return
		}
		for _, w := range r.words(v) {
			line, twice := declared[w.text]
			switch {
			case twice:
				r.report(w.value, ruleDuplicate, w.text, line)
			case r.env(w.value, w.text):
				*into = append(*into, w.text)
				declared[w.text] = w.line
			default:
				declared[w.text] = w.line
			}
		}
	}
	read("variables", &m.Config.Variables)
	read("files", &m.Config.Files)
	r.few(v, len(declared), MaxConfig, "values")
	return declared
}

func (r *reader) image(o object) string {
	v, ok := o.get("image")
	if !ok {
		return ""
	}
	image, ok := r.short(v, maxShort)
	if ok && !imageForm.MatchString(image) {
		r.report(v, ruleImage, shorten(image))
	}
	return image
}

// path reads the path of a file in the package, in its shortest form; empty when it was complained about.
func (r *reader) path(v value) string {
	text, ok := r.short(v, maxPath)
	if !ok {
		return ""
	}
	clean := path.Clean(text)
	if path.IsAbs(text) || clean == "." || clean == ".." || strings.HasPrefix(clean, "../") ||
		strings.ContainsAny(text, "\\\x00\n") || strings.HasSuffix(text, "/") {
		r.report(v, rulePath, shorten(text))
		return ""
	}
	return clean
}
