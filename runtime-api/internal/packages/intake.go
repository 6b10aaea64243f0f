package packages

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/archive"
	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/protos"
)

// reasonManifest and reasonPackage tell a caller's program what is refused.
const (
	reasonManifest = "ERROR_REASON_INVALID_MANIFEST"
	reasonPackage  = "ERROR_REASON_INVALID_PACKAGE"
)

// intake is what is known of a package while it arrives: the names of its files, and the content of its manifest and
// protos, which the reader of archives bounds. Each is read once.
type intake struct {
	contents map[string][]byte
	name     string // of the manifest's file; empty until it has arrived
	numbers  map[string]int
	whole    bool // all has arrived

	manifest *manifest.Manifest // nil where it is none
	problems manifest.Problems  // that it has by itself
	awaited  map[string]bool    // protos that are needed and have not arrived
	followed map[string]bool    // protos whose imports are known
	reading  *protos.Reading

	compiled bool
	proto    manifest.Problems // that compiling has found
}

func newIntake() *intake {
	return &intake{
		contents: map[string][]byte{}, numbers: map[string]int{},
		awaited: map[string]bool{}, followed: map[string]bool{}, reading: protos.NewReading(),
	}
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
	beginning := make([]byte, min(limit, file.Size))
	if _, err := io.ReadFull(content, beginning); err != nil {
		return 0, nil, err
	}
	in.contents[file.Path] = beginning
	return number, io.MultiReader(bytes.NewReader(beginning), content), nil
}

// read reads a file that has been added, if it is the manifest or a proto that is needed.
func (in *intake) read(name string) {
	switch {
	case path.Ext(name) == ".proto":
		if in.awaited[name] {
			in.follow(name)
		}
		if strings.HasPrefix(name, wellKnown) {
			in.compiled = false // the package's own takes the place of the one that was taken
		}
	default:
		in.name = name
		in.manifest, in.problems = manifest.Parse(name, in.contents[name])
		if in.manifest != nil && in.manifest.Proto != "" {
			in.follow(in.manifest.Proto)
		}
	}
}

// wellKnown begins the paths of the protos that need not be in a package.
const wellKnown = "google/protobuf/"

// follow finds out what a proto needs of the package, as far as that has arrived.
func (in *intake) follow(name string) {
	if in.followed[name] || len(in.followed) > protos.MaxFiles || !fs.ValidPath(name) {
		return // if it is wrong, compiling tells
	}
	content, arrived := in.contents[name]
	if !arrived {
		if !strings.HasPrefix(name, wellKnown) {
			in.awaited[name] = true
		}
		return
	}
	in.followed[name] = true
	delete(in.awaited, name)
	for _, imported := range in.reading.Imports(content) {
		in.follow(imported)
	}
}

// early judges the manifest if what has arrived is enough for it: what it does not agree on with files that are still
// to come is told at the end. nil: it is not enough. others says that a file has begun to arrive that is neither the
// manifest nor a proto; those are packed first, so that a manifest that is wrong by itself is then refused at once.
func (in *intake) early(ctx context.Context, others bool) (*Manifest, error) {
	if in.name == "" {
		return nil, nil
	}
	wrong := in.problems.Err() != nil
	switch {
	case wrong && !others, !wrong && !in.suffices():
		return nil, nil
	case in.suffices():
		return in.judge(ctx)
	}
	return nil, refused(in.problems)
}

// suffices reports whether nothing that is still to come can change what is told of the manifest.
func (in *intake) suffices() bool {
	if in.manifest == nil {
		return true
	}
	for _, workflow := range in.manifest.Workflows {
		for _, node := range workflow.Nodes {
			if node.Src == "" {
				return false
			}
		}
	}
	return len(in.awaited) == 0
}

// judge compares the manifest with the files that have arrived. The protos are compiled the first time only.
func (in *intake) judge(ctx context.Context) (*Manifest, error) {
	if !in.compiled {
		proto, err := manifest.CheckProto(ctx, in.manifest, in)
		if err != nil {
			return nil, err
		}
		in.compiled, in.proto = true, proto
	}
	problems := manifest.Join(in.problems, manifest.CheckPrograms(in.manifest, in), in.proto)
	if err := refused(problems); err != nil {
		return nil, err
	}
	return summary(in.manifest, problems.Warnings()), nil
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
