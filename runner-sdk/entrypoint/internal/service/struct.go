package service

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"time"

	"google.golang.org/protobuf/reflect/protoreflect"

	"github.com/konstellation-io/kre/krt/plan"
)

const structProtoPath = "kre/entrypoint.proto"

// structProto is the public proto of a version that brings none.
func structProto(workflows []plan.EntrypointTarget) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(`// The service of a version without a .proto: each rpc takes and gives a JSON object.
syntax = "proto3";

package kre;

import "google/protobuf/struct.proto";

service Entrypoint {
`)
	for _, w := range workflows {
		if !protoreflect.Name(w.RPC).IsValid() {
			return nil, fmt.Errorf("workflow %s: %q cannot be the name of an rpc; a name is letters, digits and _", w.Name, w.RPC)
		}
		fmt.Fprintf(&b, "  // Answered by the workflow %s.\n", strings.Join(strings.Fields(w.Name), " "))
		fmt.Fprintf(&b, "  rpc %s(google.protobuf.Struct) returns (google.protobuf.Struct);\n", w.RPC)
	}
	b.WriteString("}\n")
	return b.Bytes(), nil
}

// memory is a file system of one file.
type memory struct {
	path string
	text []byte
}

func (m memory) Open(name string) (fs.File, error) {
	if name != m.path {
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return &openFile{Reader: bytes.NewReader(m.text), size: int64(len(m.text))}, nil
}

// openFile is the file of a memory, and what is known of it.
type openFile struct {
	io.Reader
	size int64
}

func (f *openFile) Stat() (fs.FileInfo, error) { return f, nil }
func (f *openFile) Close() error               { return nil }
func (f *openFile) Name() string               { return "entrypoint.proto" }
func (f *openFile) Size() int64                { return f.size }
func (f *openFile) Mode() fs.FileMode          { return 0o444 }
func (f *openFile) ModTime() time.Time         { return time.Time{} }
func (f *openFile) IsDir() bool                { return false }
func (f *openFile) Sys() any                   { return nil }
