package harness

import (
	"context"
	"os"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"
)

// Kre runs a command of kre in a folder to its end and returns what it printed and its exit code.
func Kre(t testing.TB, dir string, args ...string) (stdout, stderr string, code int) {
	t.Helper()
	return Command(t, dir, append([]string{Program(t, "kre")}, args...)...)
}

// MustKre is [Kre] for commands that have to succeed.
func MustKre(t testing.TB, dir string, args ...string) string {
	t.Helper()
	stdout, stderr, code := Kre(t, dir, args...)
	require.Zero(t, code, "kre %v\n%s%s", args, stdout, stderr)
	return stdout
}

// Command runs any command in a folder to its end and returns what it printed and its exit code.
func Command(t testing.TB, dir string, argv ...string) (stdout, stderr string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*Patience)
	defer cancel()
	var out, problems output
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Dir = dir
	cmd.Env = os.Environ()
	cmd.Stdout, cmd.Stderr = &out, &problems
	err := cmd.Run()
	require.NotNil(t, cmd.ProcessState, "%v: %v", argv, err)
	return out.String(), problems.String(), cmd.ProcessState.ExitCode()
}
