package nodestatus

import (
	"fmt"
	"slices"
	"time"

	"github.com/dustin/go-humanize"
)

// longWait is from when on it is told of a node that messages wait for it.
const longWait = 5 * time.Second

// troubles are what the processes of a node say is wrong with themselves, each once.
func troubles(present []*heard) (warnings []string) {
	for _, h := range present {
		if h.down != "" {
			warnings = append(warnings, "its process "+h.down+", and is being started again")
		}
		if h.trouble != "" && !slices.Contains(warnings, h.trouble) {
			warnings = append(warnings, h.trouble)
		}
	}
	slices.Sort(warnings)
	return warnings
}

// slowRequests tells of handlers that run longer than their workflow's timeout.
func slowRequests(present []*heard) (warnings []string) {
	var all []SlowRequest
	more := 0
	for _, h := range present {
		all = append(all, h.requests...)
		more += h.more
	}
	shown, others := longest(all, maxRequests)
	more += others
	for _, request := range shown {
		warnings = append(warnings, fmt.Sprintf("request %s runs for %d s, longer than the workflow's timeout",
			request.ID, int(request.Running.Seconds())))
	}
	if more > 0 {
		warnings = append(warnings, fmt.Sprintf("%d more requests run longer than the workflow's timeout", more))
	}
	return warnings
}

// pressure tells of messages that wait too long for a node.
func pressure(load, lately Load) (warnings []string) {
	if n := lately.Expired; n > 0 {
		warnings = append(warnings, fmt.Sprintf("%s expired in the last minute: %s", count(n, "message"),
			choose(n, "its caller had gone before it was its turn", "their callers had gone before it was their turn")))
	}
	if load.Oldest >= longWait {
		warnings = append(warnings, fmt.Sprintf("%s %s", count(load.Waiting, "message"), waits(load)))
	}
	return warnings
}

// refusals tells of calls of a workflow that were not answered.
func refusals(workflow string, load, lately Load) (warnings []string) {
	if n := lately.Refused; n > 0 {
		warning := fmt.Sprintf("workflow %s refused %s in the last minute: %s could not have been answered in time",
			workflow, count(n, "call"), choose(n, "it", "they"))
		if load.Waiting > 0 {
			warning += "; " + humanize.Comma(load.Waiting) + " " + waits(load)
		}
		warnings = append(warnings, warning)
	}
	if n := lately.Unanswered; n > 0 {
		warnings = append(warnings, fmt.Sprintf("%s of workflow %s ended without an answer in the last minute", count(n, "call"), workflow))
	}
	return warnings
}

// waits is the end of a sentence that begins with how many.
func waits(load Load) string {
	return choose(load.Waiting, "waits, for ", "wait, the oldest for ") + seconds(load.Oldest)
}

// choose is the word for one, or that for more.
func choose(n int64, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// count is a number of things.
func count(n int64, thing string) string {
	return humanize.Comma(n) + " " + choose(n, thing, thing+"s")
}

// seconds is a time; from 10 s on without tenths, which nobody needs then.
func seconds(d time.Duration) string {
	if d < 10*time.Second {
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return humanize.Comma(int64(d.Seconds())) + " s"
}
