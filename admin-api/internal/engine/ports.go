package engine

import (
	"context"
	"io"
	"time"
)

// Runtimes is the runtime-api of every runtime; each call says at which address. What does not answer is fault.Unavailable.
type Runtimes interface {
	Packages
	Logs
	// ListNodes observes the entrypoint and the nodes of a version now: none if it never ran.
	ListNodes(ctx context.Context, address, version string) ([]Node, error)
}

// Packages keeps the packages of versions.
type Packages interface {
	// UploadPackage stores the package that is read from content. As soon as its manifest has proved right it calls accept
	// once, and gives up with the error that accept returns, as it is. fault.Invalid: the package is refused; the reason is
	// ReasonInvalidManifest, with a field per problem, or ReasonInvalidPackage. An error of content is returned as it is.
	// After an error nothing is stored.
	UploadPackage(ctx context.Context, address string, content io.Reader, accept func(Manifest) error) (Package, error)
	// ReadFile returns a file of a version's package. fault.NotFound: it, or the package, is not there; fault.Exhausted: it
	// has more than limit bytes.
	ReadFile(ctx context.Context, address, version, path string, limit int64) ([]byte, error)
	// DeletePackage removes the package of a version. Deleting what is not there succeeds.
	DeletePackage(ctx context.Context, address, version string) error
	// ListPackages names the versions that have a package.
	ListPackages(ctx context.Context, address string) ([]string, error)
}

// Manifest is what a package says about its version.
type Manifest struct {
	Version     string // mapped
	DisplayName string
	Description string
	Variables   []string
	Files       []string
	Workflows   []Workflow
	Warnings    []string
}

// Package is a stored package.
type Package struct {
	Digest string
	Size   int64 // bytes of all files together
}

// Logs keeps what nodes and entrypoints log.
type Logs interface {
	// SearchLogs answers with a page of lines. query.Token is one that it has answered for the same query.
	SearchLogs(ctx context.Context, address string, query LogQuery) (LogPage, error)
	// TailLogs calls line with the last lines and then with each that is stored, until ctx ends, line returns an error, which
	// it returns as it is, or the stream ends.
	TailLogs(ctx context.Context, address string, query LogQuery, line func(LogEntry) error) error
}

// Calls calls rpcs of running versions.
type Calls interface {
	// Call calls an rpc of the version that answers at these addresses. Its error is the version's own one where it comes
	// from there.
	Call(ctx context.Context, call Call) (Answer, error)
}

// Call is a call of an rpc.
type Call struct {
	GRPCAddress string // of the version, host:port
	HTTPAddress string // of the version, http://host:port
	RPC         string // alone, or in full: package.Service/Rpc
	Request     []byte // JSON
	Timeout     time.Duration
}

// Answer is what an rpc answered.
type Answer struct {
	Response  []byte // JSON
	RequestID string
}

// Sealer encrypts what is secret before it is stored. What was sealed opens only with the same associated data.
type Sealer interface {
	Seal(plain, associated []byte) ([]byte, error)
	Open(sealed, associated []byte) ([]byte, error)
}
