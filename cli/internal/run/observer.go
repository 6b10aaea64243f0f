package run

import (
	"encoding/json"
	"strings"
	"sync"

	"github.com/konstellation-io/kre/cli/internal/run/screen"
	"github.com/konstellation-io/kre/kit/proc"
)

// observer shows what becomes of the processes and what they print.
type observer struct {
	screen  *screen.Screen
	verbose bool // everything is shown
	json    bool // lines are for programs

	mu     sync.Mutex
	limits map[string]int  // attempts of a message, by name of the process
	nodes  map[string]bool // names as written
	hushed bool
}

func newObserver(verbose, json bool) *observer {
	return &observer{verbose: verbose, json: json, limits: make(map[string]int), nodes: make(map[string]bool)}
}

// expect announces a process of a node, and how often it tries a message.
func (o *observer) expect(process, node string, attempts int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.limits[process] = attempts
	o.nodes[node] = true
}

// limit is how often a message is tried by a process, if it is one of a node.
func (o *observer) limit(name string) (attempts int, node bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	attempts, node = o.limits[name]
	return attempts, node
}

func (o *observer) attempts(name string) int {
	attempts, _ := o.limit(name)
	return attempts
}

// hush stops the telling of deaths: from now on they are wanted.
func (o *observer) hush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.hushed = true
}

func (o *observer) isHushed() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.hushed
}

// Changed tells deaths and recoveries. First starts are told by those who wait for them.
func (o *observer) Changed(e proc.Event) {
	if o.isHushed() {
		return
	}
	switch {
	case e.State == proc.Exited:
		o.screen.Warn(e.Name, "%s; starting it again in %s", e.Exit, seconds(e.Next))
	case e.State == proc.Ready && e.Start > 1:
		o.screen.Say(e.Name, "ready again %s", seconds(e.Took))
	}
}

// Printed shows a line.
func (o *observer) Printed(l proc.Line) {
	if _, node := o.limit(l.Name); !node && o.isHushed() {
		return // kre's own programs have nothing to say about an end that is wanted
	}
	if !o.verbose && o.toldOtherwise(l) {
		return
	}
	if l.Lost > 0 {
		o.screen.Warn(l.Name, "%d lines are left out: they came faster than they could be shown", l.Lost)
	}
	o.screen.Log(l.Name, l.Text)
	if l.Cut > 0 {
		o.screen.Warn(l.Name, "the line above went on for %d bytes", l.Cut)
	}
}

// toldOtherwise tells whether a person learns what a line says in a better way: that a node is ready, from us; that a
// call has failed in a node, from the node.
func (o *observer) toldOtherwise(l proc.Line) bool {
	var record struct {
		Level   string `json:"level"`
		Message string `json:"message"`
		Error   string `json:"error"`
	}
	if o.json || !strings.HasPrefix(l.Text, "{") || json.Unmarshal([]byte(l.Text), &record) != nil {
		return false
	}
	if l.Name != entrypointKey {
		return record.Level == "info" && record.Message == "ready"
	}
	name, _, _ := strings.Cut(record.Error, ": ")
	o.mu.Lock()
	defer o.mu.Unlock()
	return record.Message == "call" && o.nodes[name]
}
