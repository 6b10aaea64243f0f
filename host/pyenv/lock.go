package pyenv

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

const lockTitle = "# Made by kre from requirements.txt: do not edit. Delete it to have newer versions chosen."

// lock is what requirements resolve to on one platform and Python: every package with its version and hashes.
type lock struct {
	Platform string // e.g. linux/amd64
	Python   string // e.g. cp312
	Inputs   string // see requirements.inputs
	Pins     []pin
}

// pin is one line of a lock.
type pin struct {
	Name    string // normalised
	Version string
	Text    string   // as it stands, hashes included, continued lines and all
	Hashes  []string // SHA-256, lower-case hexadecimal
}

var (
	pinned      = regexp.MustCompile(`^([A-Za-z0-9][-A-Za-z0-9._]*)(?:\[[^\]]*\])?\s*(?:==\s*([^\s;\\]+)|@)`)
	hashed      = regexp.MustCompile(`--hash=sha256:([0-9a-f]{64})`)
	headerField = regexp.MustCompile(`^# (platform|python|inputs): (\S+)$`)
	separators  = regexp.MustCompile(`[-_.]+`)
)

// normalise brings the names of packages into the one form in which they can be compared.
func normalise(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}

// parseLock reads a lock; ours is false for a file that somebody else has written.
func parseLock(text string) (l lock, ours bool, err error) {
	if !strings.HasPrefix(text, lockTitle+"\n") {
		return lock{}, false, nil
	}
	joined := strings.ReplaceAll(text, "\\\n", "\x00")
	for line := range strings.Lines(joined) {
		line = strings.ReplaceAll(strings.TrimRight(line, "\n"), "\x00", "\\\n")
		if field := headerField.FindStringSubmatch(line); field != nil {
			switch field[1] {
			case "platform":
				l.Platform = field[2]
			case "python":
				l.Python = field[2]
			case "inputs":
				l.Inputs = field[2]
			}
			continue
		}
		if strings.TrimSpace(line) == "" || strings.HasPrefix(line, "#") {
			continue
		}
		p, err := parsePin(line)
		if err != nil {
			return lock{}, true, err
		}
		l.Pins = append(l.Pins, p)
	}
	return l, true, nil
}

func parsePin(text string) (pin, error) {
	match := pinned.FindStringSubmatch(text)
	if match == nil {
		return pin{}, fmt.Errorf(
			"%q cannot be locked: only packages with a name and a version can, not folders on this machine", strings.Fields(text)[0])
	}
	p := pin{Name: normalise(match[1]), Version: match[2], Text: text}
	for _, hash := range hashed.FindAllStringSubmatch(text, -1) {
		p.Hashes = append(p.Hashes, hash[1])
	}
	if len(p.Hashes) == 0 {
		return pin{}, fmt.Errorf("%q cannot be locked: it has no hash", match[1])
	}
	return p, nil
}

// readLock reads the lock in a file; ours is false if there is none or somebody else has written it.
func readLock(name string) (l lock, ours bool, err error) {
	data, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return lock{}, false, nil
	}
	if err != nil {
		return lock{}, false, fmt.Errorf("read the lock: %w", err)
	}
	if l, ours, err = parseLock(string(data)); err != nil {
		return lock{}, ours, fmt.Errorf("read %s: %w", name, err)
	}
	return l, ours, nil
}

// target names what the lock is for.
func (l lock) target() string { return l.Platform + "-" + l.Python }

// fits reports whether the lock is what the requirements resolve to here.
func (l lock) fits(python Interpreter, inputs string) bool {
	return l.Inputs == inputs && l.target() == python.target()
}

// names answers the packages in the lock.
func (l lock) names() []string {
	names := make([]string, 0, len(l.Pins))
	for _, p := range l.Pins {
		names = append(names, p.Name)
	}
	return names
}

// String is the text of the lock's file.
func (l lock) String() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\n# platform: %s\n# python: %s\n# inputs: %s\n", lockTitle, l.Platform, l.Python, l.Inputs)
	for _, p := range l.Pins {
		out.WriteString(p.Text + "\n")
	}
	return out.String()
}
