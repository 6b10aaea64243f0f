package packages

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/protos"
)

// maxKept bounds the manifest and the protos that are kept of one package, in bytes.
const maxKept = 16 << 20

// reasonManifest and reasonPackage tell a caller's program what is refused.
const (
	reasonManifest = "ERROR_REASON_INVALID_MANIFEST"
	reasonPackage  = "ERROR_REASON_INVALID_PACKAGE"
)

// intake is what is known of a package while it arrives: the names of its files, and the content of its manifest and
// protos.
type intake struct {
	contents map[string][]byte
	kept     int
	manifest string // name of its file; empty until it has arrived
	numbers  map[string]int
	whole    bool // all has arrived
}

func newIntake() *intake {
	return &intake{contents: map[string][]byte{}, numbers: map[string]int{}}
}

// keeps is how many bytes of a file are of interest: one more than is allowed, so that too many are noticed.
func keeps(name string) int64 {
	switch {
	case slices.Contains(manifest.FileNames(), name):
		return manifest.MaxBytes + 1
	case path.Ext(name) == ".proto":
		return protos.MaxFileBytes + 1
	}
	return 0
}

// add takes in a file and returns its number. What comes back is content as it was.
func (in *intake) add(file archive.File, content io.Reader) (int, io.Reader, error) {
	number := len(in.numbers)
	in.numbers[file.Path] = number
	limit := keeps(file.Path)
	if limit == 0 {
		return number, content, nil
	}
	beginning, err := io.ReadAll(io.LimitReader(content, limit))
	if err != nil {
		return 0, nil, err
	}
	if in.kept += len(beginning); in.kept > maxKept {
		return 0, nil, fault.New(fault.Invalid, "the manifest and the protos of the package have more than %d bytes together, the limit", maxKept).
			For(reasonPackage, "problem", "too large", "entry", file.Path)
	}
	in.contents[file.Path] = beginning
	if path.Ext(file.Path) != ".proto" {
		in.manifest = file.Path
	}
	return number, io.MultiReader(bytes.NewReader(beginning), content), nil
}

// early reads the manifest if what has arrived is enough to judge it: what it does not agree on with files that are still
// to come is told at the end. nil: it is not enough. others says that a file has begun to arrive that is neither the
// manifest nor a proto; those are packed first, so that a manifest that is wrong by itself is then refused at once.
func (in *intake) early(others bool) (*Manifest, error) {
	if in.manifest == "" {
		return nil, nil
	}
	m, problems := manifest.Parse(in.manifest, in.contents[in.manifest])
	if wrong := problems.Err() != nil; wrong && !others || !wrong && !in.suffices(m) {
		return nil, nil
	}
	if in.suffices(m) {
		return in.read()
	}
	return nil, refused(problems)
}

// suffices reports whether nothing that is still to come can change what is told of the manifest.
func (in *intake) suffices(m *manifest.Manifest) bool {
	if m == nil {
		return true
	}
	for _, workflow := range m.Workflows {
		for _, node := range workflow.Nodes {
			if node.Src == "" {
				return false
			}
		}
	}
	return m.Proto == "" || in.hasProto(m.Proto, map[string]bool{})
}

var importing = regexp.MustCompile(`(?m)^\s*import\s+(?:public\s+|weak\s+)?"([^"]+)"`)

// hasProto reports whether a proto has arrived, and all that it imports of the package.
func (in *intake) hasProto(name string, seen map[string]bool) bool {
	content, arrived := in.contents[name]
	if !arrived {
		return strings.HasPrefix(name, "google/protobuf/")
	}
	seen[name] = true
	for _, imported := range importing.FindAllSubmatch(content, -1) {
		if other := string(imported[1]); !seen[other] && !in.hasProto(other, seen) {
			return false
		}
	}
	return true
}

// read reads the manifest and compares it with the files that have arrived.
func (in *intake) read() (*Manifest, error) {
	m, problems, err := manifest.Load(in, in.manifest)
	if err != nil {
		return nil, err
	}
	if err := refused(problems); err != nil {
		return nil, err
	}
	return summary(m, problems.Warnings()), nil
}

// refused is the error for what is wrong with a manifest; nil if nothing is.
func refused(problems manifest.Problems) error {
	complaints := problems.Complaints()
	if len(complaints) == 0 {
		return nil
	}
	wrong := fault.New(fault.Invalid, "%s", complaints.Error()).For(reasonManifest)
	for _, problem := range complaints {
		message := problem.Message
		if problem.Line != 0 {
			message = fmt.Sprintf("(line %d) %s", problem.Line, message)
		}
		wrong.Fields = append(wrong.Fields, fault.Field{Path: problem.Path, Message: message})
	}
	return wrong
}

func summary(m *manifest.Manifest, warnings manifest.Problems) *Manifest {
	s := &Manifest{
		Version: m.ID, DisplayName: m.Version, Description: m.Description, Variables: m.Config.Variables, Files: m.Config.Files,
		Warnings: warnings,
	}
	for _, workflow := range m.Workflows {
		w := Workflow{Name: workflow.Name, RPC: workflow.RPC, Exitpoint: workflow.Exitpoint}
		for _, node := range workflow.Nodes {
			n := Node{Name: node.Name, Src: node.Src, Replicas: node.Replicas}
			for _, subscription := range node.Subscriptions {
				n.Subscriptions = append(n.Subscriptions, subscription.String())
			}
			w.Nodes = append(w.Nodes, n)
		}
		s.Workflows = append(s.Workflows, w)
	}
	return s
}

// Exists implements manifest.Files. Until all has arrived, whatever is not kept is believed to come.
func (in *intake) Exists(name string) bool {
	_, arrived := in.numbers[name]
	return arrived || !in.whole && keeps(name) == 0
}

// Names implements manifest.Files.
func (in *intake) Names() []string {
	var names []string
	for name := range in.numbers {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// Open implements fs.FS for what is kept.
func (in *intake) Open(name string) (fs.File, error) {
	return manifest.Kept(in.contents).Open(name)
}
