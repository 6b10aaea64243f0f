package proc_test

import (
	"bufio"
	"context"
	"os/exec"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
)

func TestABoundCommandEndsWithItsContextAndSoDoesAllItStarted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	cmd := proc.Bind(exec.CommandContext(ctx, "/bin/sh", "-c", "sleep 1000 & echo $!; wait"))
	out, err := cmd.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, cmd.Start())
	line, err := bufio.NewReader(out).ReadString('\n')
	require.NoError(t, err)
	child := number(t, line)

	cancel()
	require.Error(t, cmd.Wait())
	requireGone(t, child)
}
