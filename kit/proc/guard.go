package proc

import (
	"bufio"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// Guard reads process groups from r, one a line, "+12" to remember and "-12" to forget one, until r ends, and then kills
// those it remembers. A program calls it in a process of its own with the standard input: see Options.Guard.
func Guard(r io.Reader) {
	groups := make(map[int]struct{})
	for lines := bufio.NewScanner(r); lines.Scan(); {
		line := lines.Text()
		if len(line) < 2 {
			continue
		}
		group, err := strconv.Atoi(line[1:])
		if err != nil || group < 2 {
			continue
		}
		if line[0] == '+' {
			groups[group] = struct{}{}
		} else {
			delete(groups, group)
		}
	}
	for group := range groups {
		_ = unix.Kill(-group, syscall.SIGKILL) // one that is gone is what is wanted
	}
}

// guard is our end of the process that runs Guard. A nil one does nothing.
type guard struct {
	mu      sync.Mutex
	cmd     *exec.Cmd
	pipe    io.WriteCloser
	started bool
}

func (g *guard) add(pid int)    { g.tell("+%d\n", pid) }
func (g *guard) remove(pid int) { g.tell("-%d\n", pid) }

// tell writes to the guard. A guard that cannot be started or has died is done without: it is the second line of
// defence, and nothing that runs should end because of it.
func (g *guard) tell(format string, pid int) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.started {
		g.started = true
		g.start()
	}
	if g.pipe != nil {
		if _, err := fmt.Fprintf(g.pipe, format, pid); err != nil {
			g.pipe = nil
		}
	}
}

func (g *guard) start() {
	// Of its own session, so that neither Ctrl-C nor a closed terminal reaches it.
	g.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := g.cmd.StdinPipe()
	if err != nil {
		return
	}
	if err := g.cmd.Start(); err != nil {
		return
	}
	g.pipe = pipe
}

func (g *guard) close() {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.cmd.Process == nil {
		return
	}
	if g.pipe != nil {
		_ = g.pipe.Close()
	}
	_ = g.cmd.Wait() // how it ended changes nothing
}
