package manifest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/konstellation-io/kre/krt/internal/prose"
)

// Problem is one thing that is wrong with a manifest, or with the package it describes.
type Problem struct {
	File    string `json:"file"`              // the file that Line counts in: the manifest or a .proto; empty for an unnamed manifest
	Path    string `json:"path"`              // what is meant, e.g. workflows[0].nodes[2].src; the file's own path when that is meant
	Line    int    `json:"line"`              // from 1; 0 when no line is meant
	Message string `json:"message"`           // one sentence, lower case, no full stop: what is wrong and what would be right
	Warning bool   `json:"warning,omitempty"` // shown, not refused

	rule rule
	more more // where it stands for problems that are not told, how many those are
}

// more is how many problems are not told.
type more struct{ complaints, warnings int }

func (m *more) count(p Problem) {
	switch {
	case p.more != more{}:
		m.complaints += p.more.complaints
		m.warnings += p.more.warnings
	case p.Warning:
		m.warnings++
	default:
		m.complaints++
	}
}

// String is the problem on one line, e.g. `workflows[0].nodes[2].src (line 31): required, but missing`.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.Path + ": " + p.Message
	}
	return fmt.Sprintf("%s (line %d): %s", p.Path, p.Line, p.Message)
}

// Problems are all problems that were found, warnings among them. As it may hold nothing but warnings, turn it into an
// error with Err, never by assignment.
type Problems []Problem

// Join makes one list of several, the manifest's own problems first, each file's by line. It tells the first 100 complaints
// and as many warnings, and then how many more there are.
func Join(lists ...Problems) Problems {
	var told Problems
	var left more
	file := ""
	all := slices.Concat(lists...)
	for _, p := range all {
		if file == "" {
			file = p.File
		}
		if p.rule == ruleMore || p.rule == warnMore || p.rule == "" && p.Message == "" {
			left.count(p)
		} else {
			told = append(told, p)
		}
	}
	told.sort()
	var complaints, warnings int
	told = slices.DeleteFunc(told, func(p Problem) bool {
		counted := &complaints
		if p.Warning {
			counted = &warnings
		}
		if *counted++; *counted <= maxComplaints {
			return false
		}
		left.count(p)
		return true
	})
	whole := file
	if whole == "" {
		whole = "manifest"
	}
	if left.complaints > 0 {
		told = append(told, Problem{File: file, Path: whole, Message: fmt.Sprintf(string(ruleMore), prose.Thousands(left.complaints)),
			rule: ruleMore, more: more{complaints: left.complaints}})
	}
	if left.warnings > 0 {
		told = append(told, Problem{File: file, Path: whole, Message: fmt.Sprintf(string(warnMore), prose.Thousands(left.warnings)),
			Warning: true, rule: warnMore, more: more{warnings: left.warnings}})
	}
	return told
}

// Error is one line per problem.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Err is the complaints among the problems as an error of type Problems; nil when there are none.
func (p Problems) Err() error {
	if complaints := p.Complaints(); len(complaints) > 0 {
		return complaints
	}
	return nil
}

// Complaints are the problems for which a manifest is refused.
func (p Problems) Complaints() Problems {
	return slices.DeleteFunc(slices.Clone(p), func(one Problem) bool { return one.Warning })
}

// Warnings are the problems for which it is not.
func (p Problems) Warnings() Problems {
	return slices.DeleteFunc(slices.Clone(p), func(one Problem) bool { return !one.Warning })
}
