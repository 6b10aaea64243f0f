package output

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/dustin/go-humanize"
	"github.com/vbauerster/mpb/v8/decor"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Cell is text in a colour.
type Cell struct{ Text, Color string }

// clean is the text for a terminal, on which it takes as many columns as it has characters.
func (c Cell) clean() string { return strings.ReplaceAll(terminal.Clean(c.Text), "\t", " ") }

// Plain is text in no colour.
func Plain(format string, args ...any) Cell { return Cell{Text: fmt.Sprintf(format, args...)} }

// Table is aligned text for people.
type Table struct {
	printer  look.Printer
	rows     [][]Cell
	right    map[int]bool
	optional []int
}

// NewTable begins a table with the names of its columns.
func NewTable(p look.Printer, columns ...string) *Table {
	t := &Table{printer: p, right: make(map[int]bool)}
	head := make([]Cell, 0, len(columns))
	for _, column := range columns {
		head = append(head, Cell{column, look.Dim})
	}
	t.rows = append(t.rows, head)
	return t
}

// Right aligns columns, counted from 0, to the right: numbers.
func (t *Table) Right(columns ...int) *Table {
	for _, column := range columns {
		t.right[column] = true
	}
	return t
}

// Optional leaves out columns, counted from 0, in which nothing is to be said.
func (t *Table) Optional(columns ...int) *Table {
	t.optional = append(t.optional, columns...)
	return t
}

// Row adds a row.
func (t *Table) Row(cells ...Cell) { t.rows = append(t.rows, cells) }

// Lines is the table, a line for each row.
func (t *Table) Lines() []string {
	var widths []int
	for _, row := range t.rows {
		for i, cell := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(cell.clean()))
		}
	}
	left := t.leftOut()
	lines := make([]string, 0, len(t.rows))
	for _, row := range t.rows {
		var b strings.Builder
		for i, cell := range row {
			if left[i] {
				continue
			}
			text := cell.clean()
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(text))
			if t.right[i] {
				b.WriteString(pad)
			}
			b.WriteString(t.printer.Paint(cell.Color, text))
			if i < len(row)-1 {
				if !t.right[i] {
					b.WriteString(pad)
				}
				b.WriteString("  ")
			}
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return lines
}

// leftOut are the optional columns that are empty.
func (t *Table) leftOut() map[int]bool {
	left := make(map[int]bool)
	for _, column := range t.optional {
		left[column] = !slices.ContainsFunc(t.rows[1:], func(row []Cell) bool { return row[column].Text != "" })
	}
	return left
}

// Print writes the table.
func (t *Table) Print() {
	for _, line := range t.Lines() {
		t.printer.Line("%s", line)
	}
}

// Age is how long ago something was, for people.
func Age(at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	return Duration(time.Since(at.AsTime()))
}

// Duration is a time for people, in its largest unit.
func Duration(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "0 s"
	case d < 2*time.Minute:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 2*day:
		return fmt.Sprintf("%d h", int(d.Hours()))
	}
	return fmt.Sprintf("%d d", int(d/day))
}

// Took is how long something took, for people.
func Took(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return d.Round(time.Second).String()
}

// Number is a number of things with its thousands apart, and nothing for none.
func Number(n int64) Cell {
	if n == 0 {
		return Cell{}
	}
	return Cell{Text: humanize.Comma(n)}
}

// Waited is how long something has waited, and nothing where nothing waits.
func Waited(d *durationpb.Duration) Cell {
	if d == nil {
		return Cell{}
	}
	return Cell{Text: Took(d.AsDuration())}
}

// Clock is a point in time for people, of this machine's time zone.
func Clock(at *timestamppb.Timestamp) string {
	if at == nil {
		return ""
	}
	return at.AsTime().Local().Format("2006-01-02 15:04:05")
}

// Size is a number of bytes for people.
func Size(n int64) string { return fmt.Sprintf("% .1f", decor.SizeB1024(n)) }

// shortDigest is how much of a digest tells two packages apart.
const shortDigest = 12

// Digest is the beginning of a digest.
func Digest(digest string) string { return digest[:min(len(digest), shortDigest)] }

// VersionState is a version's state.
func VersionState(v *adminv1.Version) Cell {
	text := v.GetState().String()
	if v.GetPublished() && v.GetState() != adminv1.Version_PUBLISHED {
		text += ", published"
	}
	switch v.GetState() {
	case adminv1.Version_PUBLISHED:
		return Cell{text, look.Green}
	case adminv1.Version_STARTED:
		return Cell{text, look.Cyan}
	case adminv1.Version_ERROR:
		return Cell{text, look.Red}
	case adminv1.Version_STOPPED:
		return Cell{text, look.Dim}
	}
	return Cell{text, look.Yellow}
}

// RuntimeState is a runtime's state.
func RuntimeState(r *adminv1.Runtime) Cell {
	switch text := r.GetState().String(); r.GetState() {
	case adminv1.Runtime_READY:
		return Cell{text, look.Green}
	case adminv1.Runtime_ERROR:
		return Cell{text, look.Red}
	default:
		return Cell{text, look.Yellow}
	}
}

// NodeState is the state of a node or of one of its processes.
func NodeState(state adminv1.Node_State) Cell {
	switch text := state.String(); state {
	case adminv1.Node_READY:
		return Cell{text, look.Green}
	case adminv1.Node_FAILED:
		return Cell{text, look.Red}
	case adminv1.Node_STOPPED:
		return Cell{text, look.Dim}
	default:
		return Cell{text, look.Yellow}
	}
}

// Pairs writes names and values, each pair on a line of its own; those without a value are left out.
func Pairs(p look.Printer, pairs ...string) {
	width := 0
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			width = max(width, utf8.RuneCountInString(pairs[i]))
		}
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			pad := strings.Repeat(" ", width-utf8.RuneCountInString(pairs[i])+2)
			p.Line("%s%s%s", p.Paint(look.Dim, pairs[i]), pad, terminal.Clean(pairs[i+1]))
		}
	}
}
