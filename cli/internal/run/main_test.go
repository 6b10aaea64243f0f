package run_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// programs is the folder of kre, entrypoint, runner and runtime-api as they are built for these tests.
var programs string

func TestMain(m *testing.M) {
	code := 1
	defer func() { os.Exit(code) }()
	dir, err := os.MkdirTemp("", "kre-run-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return
	}
	defer os.RemoveAll(dir) //nolint:errcheck // the system's folder for such things
	programs = dir
	for _, build := range []struct{ module, pkg string }{
		{"../..", "./cmd/kre"},
		{"../../../runtime-api", "./cmd/runtime-api"},
		{"../../../runner-sdk/entrypoint", "./cmd/entrypoint"},
		{"../../../runner-sdk/runner", "./cmd/runner"},
	} {
		args := []string{"build", "-o", dir + string(filepath.Separator), build.pkg}
		if raceDetector {
			args = append([]string{"build", "-race"}, args[1:]...)
		}
		cmd := exec.Command("go", args...)
		cmd.Dir = build.module
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s: %v\n%s", build.pkg, err, out)
			return
		}
	}
	code = m.Run()
}
