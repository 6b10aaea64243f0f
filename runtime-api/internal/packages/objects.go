package packages

import (
	"context"
	"io"
	"iter"
)

// Objects is the object store, of which the packages have a bucket to themselves. Its errors are of kind
// fault.Unavailable when it does not answer; then the same may be asked again.
type Objects interface {
	// Put stores the size bytes that content holds under a key; what was there before is replaced. An error of content is
	// returned as it is, and nothing is stored.
	Put(ctx context.Context, key string, content io.Reader, size int64) error
	// Get opens an object, which the caller closes. fault.NotFound: there is none under that key.
	Get(ctx context.Context, key string) (io.ReadCloser, error)
	// Place copies an object within the store, unless there is one under the key to. size is that of the object in bytes.
	Place(ctx context.Context, from, to string, size int64) error
	// List yields the objects whose keys begin with a prefix, and those that were begun there and never finished. An error
	// ends it.
	List(ctx context.Context, prefix string) iter.Seq2[Object, error]
	// Remove removes objects. What is not there is no error.
	Remove(ctx context.Context, objects []Object) error
}

// Bucket is where the objects are. It is there only while it holds something: a runtime that is gone leaves none.
type Bucket interface {
	// Make makes it unless it is there.
	Make(ctx context.Context) error
	// Drop removes it if it is empty. That it holds something, is not there, or must not be removed is no error.
	Drop(ctx context.Context) error
}

// Store is an object store. Without its bucket it holds nothing.
type Store interface {
	Objects
	Bucket
}

// Object is what lies under a key.
type Object struct {
	Key        string
	Unfinished bool // its content has never arrived whole, and never will
}

// Where things lie in the bucket.
const (
	uploadsPrefix  = "uploads/"  // <upload>/<n>: the files of an upload that is going on
	contentsPrefix = "objects/"  // <sha256>: content of files, named by lists
	listsPrefix    = "versions/" // <version>.json: what a version's package is; it counts from the moment this is there
	listEnding     = ".json"
)

func contentKey(sha256 string) string { return contentsPrefix + sha256 }
func listKey(version string) string   { return listsPrefix + version + listEnding }
