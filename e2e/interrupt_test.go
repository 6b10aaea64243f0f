package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// moments are points in the life of a run, each waited for by what can be seen from outside.
var moments = map[string]func(*testing.T, *version){
	"at once":                 func(*testing.T, *version) {},
	"when it begins to speak": func(t *testing.T, v *version) { v.WaitFor(t, "\n") },
	"when the first node runs": func(t *testing.T, v *version) {
		harness.Eventually(t, "a node runs", func() (bool, string) {
			return len(v.record.Lines(t, "process ")) > 0, v.Output()
		})
	},
	"when it is ready": func(t *testing.T, v *version) { v.WaitReady(t) },
	"under load": func(t *testing.T, v *version) {
		v.WaitReady(t)
		v.startLoad(t, 8).waitAnswers(t, 50)
	},
	"while a saved file is reloaded": func(t *testing.T, v *version) {
		v.WaitReady(t)
		source := "src/step/main.py"
		if v.language == harness.Go {
			source = "cmd/step/main.go"
		}
		v.project.Write(t, source, v.project.Read(t, source)+"\n")
	},
}

func TestCtrlCLeavesNoProcessBehind(t *testing.T) {
	for _, language := range harness.Languages() {
		for name, wait := range moments {
			t.Run(string(language)+" "+name, func(t *testing.T) {
				t.Parallel()
				v := launchSteps(t, language, onlyChain(t))
				wait(t, v)
				v.Interrupt(t)
				// -1: it came before kre asked to be told of signals.
				require.Contains(t, []int{0, 130, -1}, v.WaitEnd(t), v.Output())
			})
		}
	}
}

func TestCtrlCOfATerminalLeavesNoProcessBehind(t *testing.T) {
	t.Parallel()
	v := startSteps(t, harness.Python, onlyChain(t))
	v.startLoad(t, 8).waitAnswers(t, 50)
	v.InterruptAll(t)
	require.Contains(t, []int{0, 130}, v.WaitEnd(t), v.Output())
}

func TestABusyNodeDoesNotKeepARunAlive(t *testing.T) {
	t.Parallel()
	v := startSteps(t, harness.Python, onlyChain(t))
	go func() {
		_, _ = v.JSON(patience(t), "steps.Steps/Chain", `{"id":"long","slow":"first","slowMs":600000}`)
	}()
	harness.Eventually(t, "the node is busy", func() (bool, string) {
		return len(v.record.Lines(t, "run first long")) == 1, v.Output()
	})
	v.Interrupt(t)
	require.Contains(t, []int{0, 130}, v.WaitEnd(t), v.Output())
}

func TestNodesDoNotOutliveAKilledKre(t *testing.T) {
	t.Parallel()
	v := startSteps(t, harness.Python, onlyChain(t))
	v.Kill(t)
	v.WaitNothingLeft(t)
}
