package up

import (
	"io"
	"strings"
	"sync/atomic"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/kit/proc"
)

// observer tells what becomes of the services, and keeps what they print.
type observer struct {
	screen *screen.Screen
	logs   map[string]io.Writer // by name of the service; none: it is shown
	hushed atomic.Bool          // deaths are wanted from now on
}

// Changed tells deaths and recoveries. First starts are told by who waits for them.
func (o *observer) Changed(e proc.Event) {
	if o.hushed.Load() {
		return
	}
	switch {
	case e.State == proc.Exited:
		o.screen.Warn(e.Name, "%s; starting it again in %s", e.Exit, seconds(e.Next))
	case e.State == proc.Ready && e.Start > 1:
		o.screen.Say(e.Name, "ready again %s", seconds(e.Took))
	}
}

// Printed keeps or shows a line.
func (o *observer) Printed(l proc.Line) {
	if log := o.logs[l.Name]; log != nil {
		_, _ = io.WriteString(log, l.Text+"\n") // a full disk is told by those who need it
		return
	}
	o.screen.Log(l.Name, l.Text)
}

// shown writes the lines of a logger to the screen.
type shown struct {
	screen *screen.Screen
	who    string
}

// Write takes one whole line at a time, as loggers write.
func (s shown) Write(p []byte) (int, error) {
	s.screen.Log(s.who, strings.TrimRight(string(p), "\n"))
	return len(p), nil
}
