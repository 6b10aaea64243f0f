package inspect

import (
	"fmt"
	"path"
	"strings"

	"github.com/konstellation-io/kre/cli/internal/look"
	"github.com/konstellation-io/kre/cli/internal/terminal"
)

// crowd is the number of files in a folder from which on they are counted, not listed.
const crowd = 20

func (p printer) files(held contents, all bool) {
	p.Line("")
	p.Line("%s  %s", p.Paint(look.Bold, look.Count(len(held.Files), "file")), p.Paint(look.Dim, size(held.Size)))
	inFolder := map[string]int{}
	sizes := map[string]int64{}
	for _, f := range held.Files {
		inFolder[path.Dir(f.Path)]++
		sizes[path.Dir(f.Path)] += f.Size
	}
	told := map[string]bool{}
	for _, f := range held.Files {
		folder := path.Dir(f.Path)
		switch {
		case all || inFolder[folder] <= crowd:
			mark := ""
			if f.Executable {
				mark = p.Paint(look.Dim, "  executable")
			}
			p.Line("%10s  %s%s", size(f.Size), terminal.Clean(f.Path), mark)
		case !told[folder]:
			told[folder] = true
			p.Line("%10s  %s", size(sizes[folder]), terminal.Clean(strings.TrimPrefix(folder+"/", "./"))+
				p.Paint(look.Dim, fmt.Sprintf("  %d files", inFolder[folder])))
		}
	}
	if len(held.LeftOut) > 0 {
		p.Line("")
		p.Line("%s", p.Paint(look.Bold, "left out"))
		for _, each := range held.LeftOut {
			p.Line("%10s  %s%s", "", terminal.Clean(each.Path), p.Paint(look.Dim, "  "+each.Reason))
		}
	}
}

// size is a size as people read it.
func size(n int64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value, units := float64(n), "KMGTPE"
	i := -1
	for value >= 1023.95 && i < len(units)-1 { // what would be rounded to 1024.0 is one of the next unit
		value /= 1024
		i++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[max(i, 0)])
}
