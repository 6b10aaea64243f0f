package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// MaxBytes is the size above which a manifest is not read.
const MaxBytes = 512 << 10

// maxSearched is the size above which the library is believed about the line of a mistake.
const maxSearched = 64 << 10

// document is the root of the one YAML document in data; nil when it reported a problem.
func (r *reader) document(data []byte) *yaml.Node {
	var whole value
	if len(data) > MaxBytes {
		r.report(whole, ruleTooLarge, MaxBytes)
		return nil
	}
	if !utf8.Valid(data) {
		whole.line = lineOfInvalid(data)
		r.report(whole, ruleNotUTF8)
		return nil
	}
	root, second, err := decode(data)
	switch {
	case err != nil:
		whole.line = lineOfError(data, err)
		if lines := bytes.Split(data, []byte("\n")); whole.line <= len(lines) && indentedWithTab(lines[whole.line-1]) {
			r.report(whole, ruleTab)
		} else {
			r.report(whole, ruleSyntax, syntaxText(err))
		}
		return nil
	case root == nil:
		r.report(whole, ruleEmpty)
		return nil
	case second != nil:
		whole.line = second.Line
		r.report(whole, ruleDocuments)
		return nil
	}
	return root
}

// decode reads up to two documents: a second one is a mistake.
func decode(data []byte) (root, second *yaml.Node, err error) {
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	var nodes [2]*yaml.Node
	for i := range nodes {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, nil, err
		}
		nodes[i] = &node
	}
	if nodes[0] == nil || len(nodes[0].Content) == 0 || isNull(nodes[0].Content[0]) && nodes[1] == nil {
		return nil, nil, nil
	}
	return nodes[0].Content[0], nodes[1], nil
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

func lineOfInvalid(data []byte) int {
	line := 1
	for len(data) > 0 {
		char, size := utf8.DecodeRune(data)
		if char == utf8.RuneError && size == 1 {
			return line
		}
		if char == '\n' {
			line++
		}
		data = data[size:]
	}
	return line
}

// lineOfError finds the line at which the text stops being YAML: the last of the shortest beginning of the file that
// gives the same error. The library's own line is that of the surrounding value, one too low, or none at all.
func lineOfError(data []byte, err error) int {
	if len(data) > maxSearched {
		return min(max(1, libraryLine(err)), bytes.Count(data, []byte("\n"))+1)
	}
	lines := bytes.SplitAfter(data, []byte("\n"))
	if last := len(lines) - 1; last > 0 && len(lines[last]) == 0 {
		lines = lines[:last]
	}
	text := syntaxText(err)
	good, bad := 0, len(lines)
	for bad-good > 1 {
		middle := (good + bad) / 2
		size := 0
		for _, line := range lines[:middle] {
			size += len(line)
		}
		if _, _, err := decode(data[:size]); err != nil && syntaxText(err) == text {
			bad = middle
		} else {
			good = middle
		}
	}
	return bad
}

// libraryLine is the line that the library tells, 0 if it tells none.
func libraryLine(err error) int {
	var line int
	if _, scanErr := fmt.Sscanf(strings.TrimPrefix(err.Error(), "yaml: "), "line %d:", &line); scanErr != nil {
		return 0
	}
	return line
}

// syntaxText is the library's description of a syntax error without its line.
func syntaxText(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if strings.HasPrefix(text, "line ") {
		if _, after, ok := strings.Cut(text, ": "); ok {
			return after
		}
	}
	return text
}

func indentedWithTab(line []byte) bool {
	indent := line[:len(line)-len(bytes.TrimLeft(line, " \t"))]
	return bytes.IndexByte(indent, '\t') >= 0
}
