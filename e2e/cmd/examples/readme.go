package main

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
)

// step is one thing that a README says: a command, or what the version that runs has to print.
type step struct {
	line    int      // in the README, from 1
	command string   // "": none, the lines are what the version prints
	want    []string // lines
}

func (s step) title() string {
	if s.command == "" {
		return "kre run prints " + strings.Join(s.want, ", ")
	}
	return strings.Join(strings.Fields(s.command), " ")
}

// parse returns the steps of a README in Markdown: the commands of blocks called console, each with the lines that
// follow it, and the lines of blocks called log.
func parse(readme string) []step {
	var steps []step
	block := ""
	continued := false
	for i, line := range strings.Split(readme, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case isFence && block == "":
			block = fence
			if block == "" {
				block = "plain"
			}
			if block == "log" {
				steps = append(steps, step{line: i + 2})
			}
		case isFence:
			block = ""
		case block != "console" && block != "log":
		case continued:
			last := &steps[len(steps)-1]
			last.command += "\n" + line
			continued = strings.HasSuffix(line, `\`)
		case block == "console" && strings.HasPrefix(line, "$ "):
			steps = append(steps, step{line: i + 1, command: line[2:]})
			continued = strings.HasSuffix(line, `\`)
		case len(steps) > 0:
			last := &steps[len(steps)-1]
			last.want = append(last.want, line)
		}
	}
	return steps
}

// missing returns the wanted lines that are not among what was printed.
func missing(want []string, printed string) []string {
	var absent []string
	lines := strings.Split(printed, "\n")
next:
	for _, wanted := range want {
		for _, line := range lines {
			if matches(wanted, line) {
				continue next
			}
		}
		absent = append(absent, wanted)
	}
	return absent
}

var number = regexp.MustCompile(`\d[\d,]*(\.\d+)?`)

// tolerance is how far a printed measurement may be from the one in the README, as a share of it: models differ in the
// last digits between machines, and a README shows a size that was true when it was written.
const tolerance = 0.1

// matches tells whether a line is what a README says. In the latter … stands for anything. Small whole numbers are
// counts and have to be right, others are measurements and may differ a little, seconds by any amount. Blanks in JSON
// mean nothing.
func matches(want, line string) bool {
	want, line = compact(want), compact(strings.TrimRight(line, " \r"))
	parts := strings.Split(want, "…")
	for i, part := range parts {
		parts[i] = numbersAsGroups(part)
	}
	pattern, err := regexp.Compile("^" + strings.Join(parts, ".*") + "$")
	if err != nil {
		return false
	}
	found := pattern.FindStringSubmatch(line)
	if found == nil {
		return false
	}
	for i, wanted := range number.FindAllString(want, -1) {
		if !near(wanted, found[i+1]) && !strings.Contains(want, wanted+"s") {
			return false
		}
	}
	return true
}

func near(wanted, printed string) bool {
	a, b := value(wanted), value(printed)
	if a < 1000 && !strings.Contains(wanted, ".") {
		return a == b
	}
	return math.Abs(a-b) <= tolerance*math.Abs(a)
}

// numbersAsGroups is a regular expression for a text in which each number is a group of its own.
func numbersAsGroups(text string) string {
	var b strings.Builder
	from := 0
	for _, at := range number.FindAllStringIndex(text, -1) {
		b.WriteString(regexp.QuoteMeta(text[from:at[0]]) + `(\d[\d,]*(?:\.\d+)?)`)
		from = at[1]
	}
	b.WriteString(regexp.QuoteMeta(text[from:]))
	return b.String()
}

func value(number string) float64 {
	v, err := strconv.ParseFloat(strings.ReplaceAll(number, ",", ""), 64)
	if err != nil {
		return math.NaN()
	}
	return v
}

// compact removes blanks from a line that is JSON.
func compact(line string) string {
	var b bytes.Buffer
	if json.Compact(&b, []byte(line)) != nil {
		return line
	}
	return b.String()
}
