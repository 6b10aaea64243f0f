package manifest

import (
	"regexp"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

// How long names may be. Those of the first format are only bounded by what Kubernetes takes.
const (
	maxName    = 20
	maxVersion = 40
	maxNameV1  = 63
)

var (
	nameForm   = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	nameFormV1 = regexp.MustCompile(`^[A-Za-z0-9]([-._A-Za-z0-9]*[A-Za-z0-9])?$`)
	rpcForm    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	envForm    = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
	// A resource is one that Kubernetes knows, or a device with a domain before it.
	resourceForm = regexp.MustCompile(`^(cpu|memory|ephemeral-storage|hugepages-[0-9]+[KMGT]i|[a-z0-9][-a-z0-9.]*/[A-Za-z0-9][-._A-Za-z0-9]*)$`)
	imageForm    = regexp.MustCompile(`^[A-Za-z0-9][-A-Za-z0-9._/:@]*$`)
)

// platformNames are objects of the platform in the namespace in which a version's objects bear its name.
func platformNames() []string {
	return []string{"active-entrypoint", "nats", "mongodb", "minio", "operator", "runtime-api"}
}

// ID maps a name to a valid Kubernetes name: lower case, every other character but digits a dash, v before a leading
// digit. Names of the second format are mapped to themselves.
func ID(name string) string {
	id := strings.Map(func(char rune) rune {
		switch {
		case char >= 'a' && char <= 'z', char >= '0' && char <= '9':
			return char
		case char >= 'A' && char <= 'Z':
			return char - 'A' + 'a'
		}
		return '-'
	}, name)
	if id != "" && id[0] >= '0' && id[0] <= '9' {
		return "v" + id
	}
	return id
}

// rpcOf makes the rpc name of a workflow of the first format: make_prediction becomes MakePrediction.
func rpcOf(workflow string) string {
	var rpc strings.Builder
	for _, part := range strings.FieldsFunc(workflow, func(char rune) bool { return strings.ContainsRune("-._", char) }) {
		rpc.WriteString(strings.ToUpper(part[:1]) + part[1:])
	}
	return rpc.String()
}

// name checks the name of a version, workflow or node and returns it with its mapped form, which is empty when it was
// complained about.
func (r *reader) name(v value, limit int) (name, id string) {
	name, ok := r.text(v)
	if !ok {
		return "", ""
	}
	form, complaint, args := nameForm, ruleName, []any{shorten(name), ""}
	if r.format == V1 {
		form, complaint, args = nameFormV1, ruleNameV1, args[:1]
	} else if id := strings.Trim(ID(name), "-"); nameForm.MatchString(id) && id != name && len(id) <= limit {
		args[1] = "; " + `e.g. "` + id + `"`
	}
	id = ID(name)
	switch {
	case !form.MatchString(name):
		r.report(v, complaint, args...)
		return name, ""
	case len(id) > limit:
		r.report(v, ruleNameLength, shorten(name), len(id), limit)
		return name, ""
	}
	return name, id
}

// limit is how long the name of a node or workflow may be.
func (r *reader) limit() int {
	if r.format == V1 {
		return maxNameV1
	}
	return maxName
}

// version reads the version's name.
func (r *reader) version(o object) (name, id string) {
	v, ok := o.need("version", "the name of the version, e.g. classificator-v1")
	if !ok {
		return "", ""
	}
	name, id = r.name(v, maxVersion)
	if slices.Contains(platformNames(), id) {
		r.report(v, rulePlatformName, id)
	}
	return name, id
}

// names watches over the names of one kind within one scope.
type names struct {
	byName map[string]int // line
	byID   map[string]word
}

func newNames() *names { return &names{byName: map[string]int{}, byID: map[string]word{}} }

// add complains about a name, or a mapped one, that is there already.
func (n *names) add(r *reader, at value, name, id string) bool {
	if line, twice := n.byName[name]; twice {
		r.report(at, ruleDuplicate, shorten(name), line)
		return false
	}
	n.byName[name] = at.line
	if id == "" {
		return true
	}
	if other, twice := n.byID[id]; twice {
		r.report(at, ruleSameID, name, id, other.text, other.line)
		return false
	}
	n.byID[id] = word{at, name}
	return true
}

// env checks the name of an environment variable.
func (r *reader) env(v value, name string) bool {
	if strings.HasPrefix(name, "KRE_") || strings.HasPrefix(name, "KRT_") {
		r.report(v, ruleEnvReserved, shorten(name))
		return false
	}
	if len(name) > maxShort {
		r.report(v, ruleLongText, prose.Thousands(len(name)), prose.Thousands(maxShort))
		return false
	}
	if !envForm.MatchString(name) {
		hint := ""
		if better := strings.ReplaceAll(strings.ToUpper(name), "-", "_"); envForm.MatchString(better) && len(better) <= 100 {
			hint = didYouMean(better)
		}
		r.report(v, ruleEnvName, shorten(name), hint)
		return false
	}
	return true
}
