package logs

import (
	"encoding/json"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/konstellation-io/kre/cli/internal/console"
	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/run/screen"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// record is a line as a program has logged it, which is what the screen of kre run takes.
func record(entry *adminv1.LogEntry) string {
	fields := make(map[string]any)
	for key, value := range entry.GetFields().AsMap() {
		fields[key] = value
	}
	level := entry.GetLevel()
	if level == adminv1.LogEntry_LEVEL_UNSPECIFIED && len(fields) == 0 && entry.GetRequestId() == "" {
		return entry.GetMessage()
	}
	if level == adminv1.LogEntry_LEVEL_UNSPECIFIED {
		level = adminv1.LogEntry_INFO
	}
	fields["level"], fields["message"] = strings.ToLower(level.String()), entry.GetMessage()
	if id := entry.GetRequestId(); id != "" {
		fields["request_id"] = id
	}
	content, err := json.Marshal(fields)
	if err != nil { // a number that JSON does not have
		return entry.GetMessage()
	}
	return string(content)
}

// Lines is an entry for people without colours: one line, and more where it holds a stack.
func Lines(entry *adminv1.LogEntry) []string { return screen.Render(record(entry)) }

// who is what a line stands behind: the node, and which of its processes unless it is the first.
func who(entry *adminv1.LogEntry) string {
	if entry.GetReplica() > 0 {
		return entry.GetNode() + "-" + strconv.Itoa(int(entry.GetReplica()))
	}
	return entry.GetNode()
}

// clock is how the time of a line is written.
const clock = "15:04:05.000"

// printer shows entries as kre run shows what is logged, with the time before each.
type printer struct {
	screen *screen.Screen
	stamp  *stamp
}

func newPrinter(con *console.Console) *printer {
	s := &stamp{out: con.Out, paint: con.Printer().Paint}
	return &printer{screen: screen.New(screen.Options{Out: s, Color: con.Color()}), stamp: s}
}

func (p *printer) print(entry *adminv1.LogEntry) {
	p.stamp.at = entry.GetTime().AsTime()
	p.stamp.more = false
	p.screen.Log(who(entry), record(entry))
}

// stamp writes the time before what is written first, and as many blanks before the rest.
type stamp struct {
	out   io.Writer
	paint func(color, text string) string
	at    time.Time
	more  bool
}

// Write implements io.Writer. A screen writes a whole line each time.
func (s *stamp) Write(line []byte) (int, error) {
	before := s.paint(look.Dim, s.at.Local().Format(clock))
	if s.more {
		before = strings.Repeat(" ", len(clock))
	}
	s.more = true
	if _, err := io.WriteString(s.out, before+"  "+string(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}
