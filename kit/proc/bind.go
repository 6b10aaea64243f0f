package proc

import (
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Bind makes a command that is not started yet, and runs to its end by itself (a compiler, an installer), the leader of
// a group of its own, all of which is killed when the context it was made with ends. Ctrl-C does not reach it by way of
// the terminal. It returns cmd, which must come from exec.CommandContext.
func Bind(cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return unix.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second // should somebody have left the group and hold the pipe
	return cmd
}
