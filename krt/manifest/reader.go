package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

// maxValues bounds what is read, so that aliases that repeat aliases end.
const maxValues = 100_000

// reader reads values out of a YAML tree and reports whatever is not as it should be. Its methods return false, or a
// zero value, when they reported something.
type reader struct {
	file     string
	format   Format
	problems Problems
	reported int // complaints and warnings, those that are not kept included
	tooMany  *Problem
	lines    map[string]int
	hints    *hints
	values   int
}

// value is a place in the YAML tree.
type value struct {
	node *yaml.Node
	path string
	line int
}

// object is a mapping whose keys were checked.
type object struct {
	value
	r      *reader
	fields map[string]value
	order  []string
	meant  map[string]bool // keys that misspelt ones may have been meant to be
}

func newReader(file string) *reader {
	return &reader{file: file, lines: map[string]int{}, hints: newHints()}
}

// report complains about the value at a place; the file itself is the place without a path.
func (r *reader) report(at value, what rule, args ...any) {
	if at.path == "" {
		at.path = r.whole()
	}
	r.add(Problem{File: r.file, Path: at.path, Line: at.line, Message: fmt.Sprintf(string(what), args...), rule: what})
}

// add keeps a problem. A manifest that is wrong in very many places has them counted only, by the last that is kept.
func (r *reader) add(p Problem) {
	r.reported++
	if p.rule == ruleTooMany {
		r.tooMany = &p
	}
	if last := len(r.problems) - 1; last >= maxKept {
		r.problems[last].more.count(p)
		return
	}
	r.problems = append(r.problems, p)
	if len(r.problems) == maxKept {
		r.problems = append(r.problems, Problem{File: r.file, Path: r.whole()})
	}
}

// maxKept is how many problems are kept until those that are told are chosen: the first in the file.
const maxKept = 1_000

// whole is how the manifest itself is called in a complaint.
func (r *reader) whole() string {
	if r.file == "" {
		return "manifest"
	}
	return r.file
}

func (r *reader) warn(at value, what rule, args ...any) {
	r.add(Problem{File: r.file, Path: at.path, Line: at.line, Message: fmt.Sprintf(string(what), args...), Warning: true, rule: what})
}

// at makes a value of a node, resolving an alias. It counts, and reports when there are too many: everything reads as
// absent from then on.
func (r *reader) at(node *yaml.Node, path string) (value, bool) {
	v := value{node: node, path: path, line: node.Line}
	if node.Kind == yaml.AliasNode {
		v.node = node.Alias
	}
	if _, seen := r.lines[path]; !seen {
		r.lines[path] = v.line
	}
	r.values++
	if r.values == maxValues+1 {
		r.report(v, ruleTooMany, maxValues)
	}
	return v, r.values <= maxValues
}

// child is the value under a key of v that is missing: it stands where v does.
func (v value) child(key string) value { return value{path: join(v.path, key), line: v.line} }

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

func (v value) null() bool { return isNull(v.node) }

// what describes the value for a complaint.
func (v value) what() string {
	switch v.node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	if v.null() {
		return "empty"
	}
	return strconv.Quote(shorten(v.node.Value))
}

// shorten keeps a complaint readable whatever was written.
func shorten(text string) string {
	if runes := []rune(text); len(runes) > 100 {
		return string(runes[:100]) + "…"
	}
	return text
}

// entries are the pairs of a mapping, in order, those merged into it (<<) last.
func (r *reader) entries(v value) (keys []string, fields map[string]value, ok bool) {
	if v.node.Kind != yaml.MappingNode {
		r.report(v, ruleMapping, v.what())
		return nil, nil, false
	}
	fields = map[string]value{}
	var merged []value
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		if key.ShortTag() == "!!merge" {
			if from, ok := r.at(v.node.Content[i+1], v.path); ok {
				merged = append(merged, from)
			}
			continue
		}
		if key.Kind != yaml.ScalarNode || isNull(key) {
			at := value{node: key, path: v.path, line: key.Line}
			if key.Kind == yaml.AliasNode {
				at.node = key.Alias
			}
			r.report(at, ruleKey, at.what())
			continue
		}
		path := join(v.path, pathElement(key.Value))
		if earlier, twice := fields[key.Value]; twice {
			r.report(value{path: path, line: key.Line}, ruleDuplicateKey, earlier.line)
			continue
		}
		field, ok := r.at(v.node.Content[i+1], path)
		if !ok {
			return nil, nil, false
		}
		field.line = key.Line // also right for a value that begins on the next line
		r.lines[path] = key.Line
		fields[key.Value] = field
		keys = append(keys, key.Value)
	}
	for _, from := range merged {
		for _, each := range r.mergeSources(from) {
			more, values, ok := r.entries(each)
			if !ok {
				return nil, nil, false
			}
			for _, key := range more {
				if _, own := fields[key]; !own {
					fields[key] = values[key]
					keys = append(keys, key)
				}
			}
		}
	}
	return keys, fields, true
}

// mergeSources are the mappings that one << names: one, or a list of them.
func (r *reader) mergeSources(from value) []value {
	if from.node.Kind != yaml.SequenceNode {
		return []value{from}
	}
	var all []value
	for _, node := range from.node.Content {
		if each, ok := r.at(node, from.path); ok {
			all = append(all, each)
		}
	}
	return all
}

// object reads a mapping of which only some keys are known; others tells keys that another format knows.
func (r *reader) object(v value, known []string, others ...string) (object, bool) {
	keys, fields, ok := r.entries(v)
	if !ok {
		return object{}, false
	}
	meant := map[string]bool{}
	for _, key := range keys {
		switch {
		case slices.Contains(known, key):
		case slices.Contains(others, key):
			r.report(fields[key], ruleOtherFormat, key, r.format)
		default:
			near := r.hints.near(key, known)
			meant[near] = true
			r.report(fields[key], ruleUnknownKey, shorten(key), didYouMean(near))
		}
	}
	return object{value: v, r: r, fields: fields, order: keys, meant: meant}, true
}

// get is the value of a key. An empty one counts as absent.
func (o object) get(key string) (value, bool) {
	v, ok := o.fields[key]
	return v, ok && !v.null()
}

// need is get, with a complaint when the key is absent or empty, unless it follows from one about a misspelt key.
func (o object) need(key, why string) (value, bool) {
	v, ok := o.get(key)
	if !ok && !o.meant[key] {
		at := o.child(key)
		if v.line > 0 {
			at.line = v.line
		}
		o.r.report(at, ruleMissing, why)
	}
	return v, ok
}

// text is short for texts that have no limit of their own.
func (r *reader) text(v value) (string, bool) { return r.short(v, maxText) }

// anyText reads any scalar as it is written: 1.0 is "1.0".
func (r *reader) anyText(v value) (string, bool) {
	if v.node.Kind != yaml.ScalarNode || v.null() {
		r.report(v, ruleText, v.what())
		return "", false
	}
	switch tag := v.node.ShortTag(); tag {
	case "!!str", "!!int", "!!float", "!!bool", "!!timestamp":
	default:
		r.report(v, ruleTag, strconv.Quote(shorten(tag)))
		return "", false
	}
	if i := strings.IndexFunc(v.node.Value, forbidden); i >= 0 {
		char, _ := utf8.DecodeRuneInString(v.node.Value[i:])
		r.report(v, ruleControl, char)
		return "", false
	}
	return v.node.Value, true
}

// short reads a text of at most so many bytes.
func (r *reader) short(v value, most int) (string, bool) {
	text, ok := r.anyText(v)
	if ok && len(text) > most {
		r.report(v, ruleLongText, prose.Thousands(len(text)), prose.Thousands(most))
		return "", false
	}
	return text, ok
}

// forbidden are characters that no name, path or variable may hold and that would change what a terminal shows.
func forbidden(char rune) bool {
	return unicode.IsControl(char) && !strings.ContainsRune("\n\r\t", char)
}

// pathElement is a key as it appears in a path.
func pathElement(key string) string {
	if key == "" || strings.ContainsFunc(key, func(char rune) bool { return !unicode.IsPrint(char) }) {
		return strconv.Quote(shorten(key))
	}
	return shorten(key)
}

func (r *reader) boolean(v value) bool {
	if v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!bool" {
		switch v.node.Value {
		case "true", "True", "TRUE":
			return true
		case "false", "False", "FALSE":
			return false
		}
	}
	r.report(v, ruleBool, v.what())
	return false
}

// positive reads a whole number that is at least 1 and at most so much.
func (r *reader) positive(v value, most int) (int, bool) {
	n, err := strconv.ParseInt(v.node.Value, 10, 64)
	whole := v.node.Kind == yaml.ScalarNode && v.node.ShortTag() == "!!int"
	if whole && (err == nil && n > int64(most) || errors.Is(err, strconv.ErrRange) && n > 0) {
		r.report(v, ruleAtMost, prose.Thousands(most), shorten(v.node.Value))
		return 0, false
	}
	if !whole || err != nil {
		r.report(v, ruleInteger, v.what())
		return 0, false
	}
	if n < 1 {
		r.report(v, ruleAtLeastOne, v.node.Value)
		return 0, false
	}
	return int(n), true
}

func (r *reader) duration(v value) (time.Duration, bool) {
	text, ok := r.text(v)
	if !ok {
		return 0, false
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < time.Millisecond {
		r.report(v, ruleDuration, shorten(text))
		return 0, false
	}
	return d, true
}

// oneOf reads a text that has few possible values; empty when it is none of them.
func (r *reader) oneOf(v value, allowed ...string) string {
	text, ok := r.text(v)
	if ok && !slices.Contains(allowed, text) {
		r.report(v, ruleOneOf, shorten(text), strings.Join(allowed, " or "))
		return ""
	}
	return text
}

func (r *reader) list(v value) ([]value, bool) {
	if v.node.Kind != yaml.SequenceNode {
		r.report(v, ruleList, v.what())
		return nil, false
	}
	var items []value
	for i, node := range v.node.Content {
		item, ok := r.at(node, fmt.Sprintf("%s[%d]", v.path, i))
		if !ok {
			return nil, false
		}
		items = append(items, item)
	}
	return items, true
}

// word is a text and where it stands.
type word struct {
	value
	text string
}

// words reads a list of texts of which none may be there twice.
func (r *reader) words(v value) []word {
	items, _ := r.list(v)
	var words []word
	seen := map[string]int{}
	for _, item := range items {
		text, ok := r.text(item)
		if !ok {
			continue
		}
		if line, twice := seen[text]; twice {
			r.report(item, ruleDuplicate, shorten(text), line)
			continue
		}
		seen[text] = item.line
		words = append(words, word{item, text})
	}
	return words
}
