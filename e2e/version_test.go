package e2e_test

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// version is a running version of the project testdata/steps.
type version struct {
	*harness.Run
	project  harness.Project
	language harness.Language
	record   harness.Record
}

// startSteps runs the project, changed before if edit is given, and returns when it is ready.
func startSteps(t *testing.T, language harness.Language, edit func(harness.Project)) *version {
	t.Helper()
	v := launchSteps(t, language, edit)
	v.WaitReady(t)
	return v
}

// launchSteps is [startSteps] without waiting. Go nodes are built with the race detector: one that finds a race fails
// the test.
func launchSteps(t *testing.T, language harness.Language, edit func(harness.Project)) *version {
	t.Helper()
	project := harness.Testdata(t, "steps", language)
	if edit != nil {
		edit(project)
	}
	v := &version{project: project, language: language, record: harness.Record(filepath.Join(project.Dir, "..", "record"))}
	v.Run = harness.Start(t, harness.Options{Target: project.Dir, Args: []string{"--race", "--env", "RECORD=" + string(v.record)}})
	t.Cleanup(func() { require.NotContains(t, v.Output(), "WARNING: DATA RACE") })
	return v
}

// runs returns what the nodes have recorded of a request: "run <node> <id>" each time a handler took it.
func (v *version) runs(t *testing.T, id string) []string {
	t.Helper()
	var found []string
	for _, line := range v.record.Lines(t, "run ") {
		if words := strings.Fields(line); words[2] == id {
			found = append(found, words[1])
		}
	}
	slices.Sort(found)
	return found
}

// others returns which nodes have recorded that a message of a request which is no ordinary one, "error" or "early",
// has reached them.
func (v *version) others(t *testing.T, kind, requestID string) []string {
	t.Helper()
	var found []string
	for _, line := range v.record.Lines(t, kind+" ") {
		if words := strings.Fields(line); words[2] == requestID {
			found = append(found, words[1])
		}
	}
	slices.Sort(found)
	return found
}

// waitRuns waits until the nodes have taken a request as often as is said, and nothing is under way any more.
func (v *version) waitRuns(t *testing.T, id string, want ...string) {
	t.Helper()
	slices.Sort(want)
	harness.Eventually(t, "the nodes have taken "+id, func() (bool, string) {
		seen := v.runs(t, id)
		return len(seen) >= len(want), strings.Join(seen, " ")
	})
	v.Broker(t).WaitIdle(t)
	require.Equal(t, want, v.runs(t, id))
}

func patience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), harness.Patience)
	t.Cleanup(cancel)
	return ctx
}

// TestVersion starts one version per language and tries every rule on it.
func TestVersion(t *testing.T) {
	rules := []struct {
		name string
		try  func(*testing.T, *version)
	}{
		{"answers over gRPC and over HTTP", answersOverBoth},
		{"is described by reflection to a public client", isDescribedByReflection},
		{"answers curl", answersCurl},
		{"answers kre call", answersKreCall},
		{"gives each of 200 callers its own answer or its own error", givesEachItsOwn},
		{"takes a message once at each subscriber", takesAMessageOnce},
		{"answers early and goes on", answersEarlyAndGoesOn},
		{"answers early and stops", answersEarlyAndStops},
		{"hands an error to the nodes behind, once", handsAnErrorOn},
		{"lets the exitpoint answer the errors of the nodes before it", letsTheExitpointAnswerErrors},
		{"ends the wait at the caller's deadline, and begins nothing more", endsTheWait},
		{"ends the wait at the deadline of a caller over HTTP", endsTheWaitOverHTTP},
		{"tells at the end of the wait where the request is", tellsWhereTheRequestIs},
		{"tries as often as the manifest says", triesAsOften},
		{"tells at the end of the wait what went wrong last", tellsWhatWentWrong},
		{"refuses what does not fit its proto", refusesWhatDoesNotFit},
		{"refuses what is not there", refusesWhatIsNotThere},
		{"refuses what is too large", refusesWhatIsTooLarge},
		{"keeps what failed among the dead letters", keepsWhatFailed},
	}
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			v := startSteps(t, language, nil)
			for _, rule := range rules {
				t.Run(rule.name, func(t *testing.T) { rule.try(t, v) })
			}
		})
	}
}
