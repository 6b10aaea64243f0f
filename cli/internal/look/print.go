package look

import (
	"fmt"
	"io"

	"github.com/konstellation-io/kre/cli/internal/terminal"
	"github.com/konstellation-io/kre/krt/manifest"
)

// Printer writes text for people, in colour where that is wanted. A line that cannot be written is nobody's to mend.
type Printer struct {
	Out   io.Writer
	Color bool
}

// The colours.
const (
	Red    = "31"
	Yellow = "33"
	Green  = "32"
	Cyan   = "36"
	Bold   = "1"
	Dim    = "2"
)

// Line writes a line.
func (p Printer) Line(format string, args ...any) {
	fmt.Fprintf(p.Out, format+"\n", args...) //nolint:errcheck // see Printer
}

// Paint puts text into a colour.
func (p Printer) Paint(color, text string) string {
	if !p.Color || color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// Problems writes one line for each complaint, then, apart from them, one for each warning.
func (p Printer) Problems(problems manifest.Problems) {
	complaints, warnings := problems.Complaints(), problems.Warnings()
	for _, each := range complaints {
		p.problem("", Red, each)
	}
	if len(complaints) > 0 && len(warnings) > 0 {
		p.Line("")
	}
	for _, each := range warnings {
		p.problem("warning: ", Yellow, each)
	}
}

func (p Printer) problem(before, color string, each manifest.Problem) {
	line := ""
	if each.Line > 0 {
		line = p.Paint(Dim, fmt.Sprintf(" (line %d)", each.Line))
	}
	p.Line("%s%s%s: %s", p.Paint(color, before), p.Paint(color, terminal.Clean(each.Path)), line, terminal.Clean(each.Message))
}

// And is a further count of a list, nothing when it is 0.
func And(n int, noun string) string {
	if n == 0 {
		return ""
	}
	return ", " + Count(n, noun)
}

// Count is a number and its noun, in the plural where that is due.
func Count(n int, noun string) string {
	if n != 1 {
		noun += "s"
	}
	return fmt.Sprintf("%d %s", n, noun)
}
