package lifecycle

import (
	"fmt"
	"regexp"
	"strconv"

	"github.com/konstellation-io/kre/kit/fault"
)

// Reasons that a program can act on, besides the kind.
const (
	ReasonStaleRevision = "STALE_REVISION" // a later desired state is recorded already
	ReasonDeleting      = "DELETING"       // it is being deleted
	ReasonRunning       = "RUNNING"        // it runs, and must not
)

// maxName is what fits a label of a host name.
const maxName = 63

var (
	nameForm   = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`)
	digestForm = regexp.MustCompile(`^[0-9a-f]{64}$`)
	keyForm    = regexp.MustCompile(`^[A-Z_][A-Z0-9_]*$`)
)

// CheckRevision refuses (fault.Conflict) to put the desired state of revision asked over one of revision recorded, if
// that is the later one. what names whose state it is.
func CheckRevision(what string, recorded, asked int64) error {
	if asked >= recorded {
		return nil
	}
	return fault.New(fault.Conflict, "%s: revision %d is older than %d, which is recorded already: read it again", what, asked, recorded).
		For(ReasonStaleRevision, "recorded", strconv.FormatInt(recorded, 10), "asked", strconv.FormatInt(asked, 10))
}

// fields gathers what is wrong with a request.
type fields []fault.Field

func (f *fields) add(path, format string, args ...any) {
	*f = append(*f, fault.Field{Path: path, Message: fmt.Sprintf(format, args...)})
}

func (f *fields) name(path, name string) {
	if len(name) > maxName || !nameForm.MatchString(name) {
		f.add(path, "%q is no name: want at most %d lower-case letters, digits and dashes, a letter first and no dash last", name, maxName)
	}
}

func (f *fields) revision(revision int64) {
	if revision < 1 {
		f.add("revision", "%d: want 1 or more", revision)
	}
}

func (f *fields) err() error {
	if len(*f) == 0 {
		return nil
	}
	invalid := fault.New(fault.Invalid, "%s: %s", (*f)[0].Path, (*f)[0].Message)
	invalid.Fields = *f
	return invalid
}

func (r Runtime) check() error {
	var wrong fields
	wrong.name("runtime", r.Name)
	wrong.revision(r.Revision)
	if r.PublishedVersion != "" {
		wrong.name("published_version", r.PublishedVersion)
	}
	return wrong.err()
}

func (v Version) check() error {
	var wrong fields
	wrong.name("runtime", v.Runtime)
	wrong.name("version", v.Name)
	wrong.revision(v.Revision)
	if !digestForm.MatchString(v.Digest) {
		wrong.add("digest", "%q: want a SHA-256, 64 lower-case hexadecimal digits", v.Digest)
	}
	if v.Drain < 0 {
		wrong.add("drain_seconds", "%d: want 0 or more", int64(v.Drain.Seconds()))
	}
	for key := range v.Variables {
		wrong.key("variables", key)
	}
	for key := range v.Files {
		wrong.key("files", key)
		if _, both := v.Variables[key]; both {
			wrong.add("files", "%q is a variable already", key)
		}
	}
	return wrong.err()
}

func (f *fields) key(path, key string) {
	if !keyForm.MatchString(key) {
		f.add(path, "%q is no key: want capitals, digits and underscores, no digit first", key)
	}
}
