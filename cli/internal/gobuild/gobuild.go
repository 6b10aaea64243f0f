// Package gobuild compiles a project's Go nodes and gives their module the SDK that kre carries.
package gobuild

import (
	"context"
	"errors"
)

// Options say what is compiled.
type Options struct {
	Project string // root of the project
	Src     string // the node's src, e.g. bin/storer
	Output  string // path of the executable to write
	Release bool   // for a package: stripped, the same bytes wherever it is built
	Race    bool   // with the race detector
}

// Source returns the folder below project, slash-separated, that holds the Go program of a node whose src is
// `bin/<x>`: `cmd/<x>` or `src/<x>`, dashes and underscores alike, holding a package main. It is "" if there is none, or if
// src is there as a file already.
func Source(project, src string) (string, error) {
	return "", errors.New("gobuild: in the making")
}

// Build compiles the program that [Source] finds, statically linked. The compiler's complaints are in the error.
func Build(ctx context.Context, opts Options) error {
	return errors.New("gobuild: in the making")
}

// PrepareModule puts the carried Go SDK into `<project>/.kre/sdk/go` and makes go.mod and go.sum of the project (made
// if absent, for the module path given) use it. It reaches no network and needs no Go toolchain; nothing is written
// that is right already.
func PrepareModule(project, modulePath string) error {
	return errors.New("gobuild: in the making")
}
