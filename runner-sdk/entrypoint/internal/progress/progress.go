// Package progress tells where a request is when its caller's wait is over: which nodes have finished with it, which run it, and
// how many wait before it. It puts together what the processes of the workflow's nodes say; how they are asked is for others.
package progress

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// Story is where a request is. Its zero value knows nothing.
type Story struct {
	Finished []Place // nodes that are done with it
	Running  []Place // nodes that have it in hand
	Waiting  []Place // nodes that have yet to begin it
}

// Place is a node on the way of a request, and what there is to say of it.
type Place struct {
	Node   string // as written
	Remark string // "for 3.2s"; may be empty
}

// Of tells where a request is that was stored for a workflow with that path, by what the nodes' processes said when they were
// asked about it. A node that nobody knows anything of has not got it yet, if one that it subscribes to has sent it on.
func Of(requestID string, path []plan.Step, said []wire.Progress) Story {
	if len(said) == 0 {
		return Story{}
	}
	seen := make(map[string]*sight, len(path))
	for _, step := range path {
		seen[step.Node] = see(requestID, step.Node, said)
	}
	passed := passed(path, seen)
	var s Story
	for _, step := range path {
		at, place := seen[step.Node], Place{Node: step.Node}
		switch {
		case at.inHand != "":
			place.Remark = at.inHand
			s.Running = append(s.Running, place)
		case at.queued:
			place.Remark = before("", at.before)
			s.Waiting = append(s.Waiting, place)
		case at.finished:
			if !leadsOn(step.Node, path, at) {
				place.Remark = at.silence(step.Exitpoint)
			}
			s.Finished = append(s.Finished, place)
		case passed[step.Node]:
			s.Finished = append(s.Finished, place)
		case reached(step, seen, passed):
			place.Remark = at.why()
			s.Waiting = append(s.Waiting, place)
		}
	}
	return s
}

// sight is what was said of a request at one node.
type sight struct {
	there    bool   // a process of the node said something
	down     string // why none handles anything
	up       bool   // one handles messages
	waiting  int64
	inHand   string // what is done with it, empty: nothing
	queued   bool
	before   int
	finished bool
	channels []string // that it was sent on to
	failed   bool
	answered bool
}

func see(requestID, node string, said []wire.Progress) *sight {
	s := &sight{}
	for _, progress := range said {
		if progress.Node != node {
			continue
		}
		s.there = true
		s.waiting = max(s.waiting, progress.Waiting)
		if progress.Down == "" {
			s.up = true
		} else {
			s.down = progress.Down
		}
		for _, known := range progress.Steps {
			if known.RequestID == requestID {
				s.know(known)
			}
		}
	}
	return s
}

func (s *sight) know(known wire.Known) {
	switch known.State {
	case wire.Running:
		s.inHand = "for " + seconds(known.Seconds)
	case wire.Retrying:
		s.inHand = "which tries it again"
	case wire.Storing:
		s.inHand = "which stores what it sent"
	case wire.Queued:
		if !s.queued || known.Before < s.before {
			s.queued, s.before = true, known.Before
		}
	case wire.Finished:
		s.finished = true
		s.failed = s.failed || known.Failed
		s.answered = s.answered || known.Answered
		s.channels = append(s.channels, known.Channels...)
	}
}

// known reports whether the node is known to have got the request.
func (s *sight) known() bool { return s.inHand != "" || s.queued || s.finished }

// sends reports whether what the node sent goes to a subscription of that channel. Who subscribes to any gets the errors.
func (s *sight) sends(channel string) bool { return s.failed || slices.Contains(s.channels, channel) }

func (s *sight) silence(exitpoint bool) string {
	switch {
	case s.answered:
		return "whose answer came too late"
	case exitpoint:
		return "which sent no answer"
	}
	return "which sent nothing towards the exitpoint"
}

// why says what a request waits for at a node that has not got it.
func (s *sight) why() string {
	switch {
	case !s.there:
		return "of which no process answers"
	case !s.up:
		return "which " + s.down
	}
	return before("up to ", int(s.waiting)-1) // it is one of them
}

func before(how string, count int) string {
	if count <= 0 {
		return ""
	}
	return fmt.Sprintf("with %s%d before it", how, count)
}

// passed are the nodes of which nobody knows anything any more, but that have sent on what a later one knows of.
func passed(path []plan.Step, seen map[string]*sight) map[string]bool {
	passed := map[string]bool{}
	for changed := true; changed; {
		changed = false
		for _, step := range path {
			if !seen[step.Node].known() && !passed[step.Node] || len(step.From) != 1 {
				continue // of several nodes before it, each may have sent it
			}
			from := step.From[0].Node
			if from != manifest.Entrypoint && !seen[from].known() && !passed[from] {
				passed[from], changed = true, true
			}
		}
	}
	return passed
}

// reached reports whether something that a node subscribes to has sent the request on to it.
func reached(step plan.Step, seen map[string]*sight, passed map[string]bool) bool {
	return slices.ContainsFunc(step.From, func(from plan.Subscription) bool {
		if from.Node == manifest.Entrypoint {
			return true
		}
		at, there := seen[from.Node]
		return there && (passed[from.Node] || at.finished && at.sends(from.Channel))
	})
}

// leadsOn reports whether what a node sent goes to another one on the path.
func leadsOn(node string, path []plan.Step, at *sight) bool {
	return slices.ContainsFunc(path, func(step plan.Step) bool {
		return slices.ContainsFunc(step.From, func(from plan.Subscription) bool {
			return from.Node == node && at.sends(from.Channel)
		})
	})
}

// String is "finished: etl, clean; running: model for 3.2s; waiting: rank, with 17 before it", or empty.
func (s Story) String() string {
	var parts []string
	for _, part := range []struct {
		what   string
		places []Place
	}{{"finished", s.Finished}, {"running", s.Running}, {"waiting", s.Waiting}} {
		if len(part.places) > 0 {
			parts = append(parts, part.what+": "+list(part.places))
		}
	}
	return strings.Join(parts, "; ")
}

func list(places []Place) string {
	texts := make([]string, len(places))
	for i, p := range places {
		switch {
		case p.Remark == "":
			texts[i] = p.Node
		case strings.HasPrefix(p.Remark, "for "):
			texts[i] = p.Node + " " + p.Remark
		default:
			texts[i] = p.Node + ", " + p.Remark
		}
	}
	return strings.Join(texts, ", ")
}

// Names are the nodes of some places.
func Names(places []Place) string {
	names := make([]string, len(places))
	for i, p := range places {
		names[i] = p.Node
	}
	return strings.Join(names, ",")
}

func seconds(s float64) string {
	return time.Duration(s * float64(time.Second)).Round(100 * time.Millisecond).String()
}
