package screen

import "os"

// Colours, as a terminal takes them.
const (
	red    = "31"
	yellow = "33"
	dim    = "2"
)

// palette is what names are told apart by; red and yellow are kept for errors and warnings.
func palette() []string { return []string{"36", "35", "34", "32", "96", "95", "94", "92"} }

// color is the colour of a name, given out in the order of appearance.
func (s *Screen) color(who string) string {
	if who == "" {
		return ""
	}
	color, ok := s.colors[who]
	if !ok {
		all := palette()
		color = all[len(s.colors)%len(all)]
		s.colors[who] = color
	}
	return color
}

func (s *Screen) paint(color, text string) string {
	if !s.options.Color || color == "" || text == "" {
		return text
	}
	return "\x1b[" + color + "m" + text + "\x1b[0m"
}

// WantsColor tells whether colours belong into f: it is a terminal that knows them, and NO_COLOR is not set.
func WantsColor(f *os.File) bool {
	if os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
