package proc

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Exit is how a process ended.
type Exit struct {
	Code   int            // 0 to 255; -1 where a signal ended it or it never ran
	Signal syscall.Signal // 0 where it ended by itself
	Forced bool           // it was we who killed it
	// Unknown is set where nobody learned how it ended: it is not our child but an earlier supervisor's. Code is -1 then.
	Unknown bool
}

func exitOf(state *os.ProcessState, forced bool) Exit {
	if state == nil {
		return Exit{Code: -1, Forced: forced, Unknown: true}
	}
	exit := Exit{Code: state.ExitCode(), Forced: forced}
	if status, ok := state.Sys().(syscall.WaitStatus); ok && status.Signaled() {
		exit.Signal = status.Signal()
	}
	return exit
}

// String tells the exit in words, to follow the name of the process: "ended with code 1".
func (e Exit) String() string {
	switch {
	case e.Unknown && e.Forced:
		return "was killed: it did not end in time"
	case e.Unknown:
		return "ended"
	}
	if e.Signal == 0 {
		if e.Code < 0 {
			return "never ran"
		}
		return fmt.Sprintf("ended with code %d", e.Code)
	}
	name := unix.SignalName(e.Signal)
	if name == "" {
		name = fmt.Sprintf("signal %d", int(e.Signal))
	}
	switch {
	case e.Forced:
		return fmt.Sprintf("was killed by %s: it did not end in time", name)
	case e.Signal == syscall.SIGKILL:
		return "was killed by SIGKILL (out of memory?)"
	case e.Signal == syscall.SIGSEGV || e.Signal == syscall.SIGBUS || e.Signal == syscall.SIGILL:
		return fmt.Sprintf("crashed with %s in native code", name)
	default:
		return fmt.Sprintf("was killed by %s", name)
	}
}
