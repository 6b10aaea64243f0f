package main_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
)

// programs is the folder of k8s-manager, and of what stands in for runtime-api and entrypoint.
var programs string

// realPrograms is the folder of the real ones, and of a node.
var realPrograms = sync.OnceValues(func() (string, error) {
	dir := filepath.Join(programs, "real")
	for program, source := range map[string]string{
		"runtime-api": "../../../runtime-api/cmd/runtime-api", "entrypoint": "../../../runner-sdk/entrypoint/cmd/entrypoint",
		"node": "./testdata/node",
	} {
		build := exec.Command("go", "build", "-ldflags=-s -w", "-o", filepath.Join(dir, program), ".")
		build.Dir = source
		if output, err := build.CombinedOutput(); err != nil {
			return "", fmt.Errorf("%w\n%s", err, output)
		}
	}
	return dir, nil
})

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kre-manager-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the end
	programs = dir
	for program, source := range map[string]string{"k8s-manager": ".", "runtime-api": "./testdata/standin"} {
		output, err := exec.Command("go", "build", "-o", filepath.Join(dir, program), source).CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "%v\n%s", err, output)
			return 1
		}
	}
	if err := os.Link(filepath.Join(dir, "runtime-api"), filepath.Join(dir, "entrypoint")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}
