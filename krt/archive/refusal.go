package archive

import (
	"errors"
	"fmt"
)

// What a package is refused for. A [Refusal] wraps one of these and says which entry is meant.
var (
	ErrNotGzip        = errors.New("not gzip")
	ErrNotTar         = errors.New("not tar")
	ErrTruncated      = errors.New("truncated")
	ErrDamaged        = errors.New("damaged")
	ErrTrailing       = errors.New("trailing bytes")
	ErrName           = errors.New("bad name")
	ErrOutside        = errors.New("leaves the root")
	ErrLink           = errors.New("link")
	ErrSpecial        = errors.New("special file")
	ErrDuplicate      = errors.New("duplicate")
	ErrTooManyEntries = errors.New("too many entries")
	ErrTooLarge       = errors.New("too large")
	ErrNoManifest     = errors.New("no manifest")
	ErrTwoManifests   = errors.New("two manifests")
	ErrDigest         = errors.New("other digest")
)

// Refusal says why a package is not accepted. Its text is for the person who made the package.
type Refusal struct {
	Kind  error  // one of the errors above
	Entry string // the entry it is about, as the archive spells it; "" if it is about the whole
	text  string
}

// Error tells what is wrong and, where that helps, what would be right.
func (r *Refusal) Error() string { return r.text }

// Unwrap returns the kind.
func (r *Refusal) Unwrap() error { return r.Kind }

func refuse(kind error, entry, format string, args ...any) error {
	return &Refusal{Kind: kind, Entry: entry, text: fmt.Sprintf(format, args...)}
}
