package pack

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/terminal"
	"github.com/konstellation-io/kre/krt/archive"
)

// size is a number of bytes for people.
func size(n int64) string { return fmt.Sprintf("% .1f", decor.SizeB1024(n)) }

// listed is how many paths are printed for one reason.
const listed = 5

// writeLeftOut prints what is not in the package, one line for each reason. What kre itself keeps in the project is
// nothing that anybody misses.
func writeLeftOut(p look.Printer, left []archive.LeftOut) {
	var reasons []string
	paths := make(map[string][]string)
	for _, l := range left {
		if l.Path == ".kre/" {
			continue
		}
		if !slices.Contains(reasons, l.Reason) {
			reasons = append(reasons, l.Reason)
		}
		paths[l.Reason] = append(paths[l.Reason], l.Path)
	}
	for _, reason := range reasons {
		names := paths[reason]
		more := ""
		if len(names) > listed {
			more = fmt.Sprintf(" and %d more", len(names)-listed)
			names = names[:listed]
		}
		p.Line("left out: %s%s %s", terminal.Clean(strings.Join(names, ", ")), more, p.Paint(look.Dim, "("+reason+")"))
	}
}

// progressBar shows on a terminal how much is packed; elsewhere it shows nothing. stop takes it away.
func progressBar(out *os.File) (show func(done, total int64), stop func()) {
	info, err := out.Stat()
	if err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return nil, func() {}
	}
	bars := mpb.New(mpb.WithOutput(out), mpb.WithWidth(40))
	var bar *mpb.Bar
	show = func(done, total int64) {
		if bar == nil {
			bar = bars.New(total, mpb.BarStyle().Rbound("|"), mpb.BarRemoveOnComplete(),
				mpb.PrependDecorators(decor.Name("pack ")), mpb.AppendDecorators(decor.CountersKibiByte(" % .1f / % .1f")))
		}
		bar.SetCurrent(done)
	}
	stop = func() {
		if bar != nil {
			bar.Abort(true)
		}
		bars.Wait()
	}
	return show, stop
}
