package process_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// libexec is the folder with the programs that stand in for the real ones.
var libexec string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "kre-process-*")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the end
	libexec = dir
	program := filepath.Join(dir, "runtime-api")
	if output, err := exec.Command("go", "build", "-o", program, "./testdata/standin").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "%v\n%s", err, output)
		return 1
	}
	for _, name := range []string{"entrypoint", "address", "runner"} {
		if err := os.Link(program, filepath.Join(dir, name)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
	}
	return m.Run()
}
