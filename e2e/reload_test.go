package e2e_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// sources are the files that `kre init` makes for the node, and what an author gets wrong in them.
var sources = map[harness.Language]struct{ file, mistake, complaint string }{
	harness.Python: {"src/greet/main.py", "import no_such_module\n", "No module named 'no_such_module'"},
	harness.Go:     {"cmd/greet/main.go", "\nfunc broken() { return 1 }\n", "too many return values"},
}

func TestANewProjectRunsAndReloads(t *testing.T) {
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			source := sources[language]
			p := harness.Project{Dir: filepath.Join(t.TempDir(), "demo")}
			harness.MustKre(t, filepath.Dir(p.Dir), "init", "demo", "--lang", string(language))
			require.Contains(t, harness.MustKre(t, p.Dir, "validate"), "demo")

			run := harness.Ready(t, harness.Options{Target: p.Dir})
			waitGreeting(t, run, "Hello Ada")

			p.Write(t, source.file, strings.ReplaceAll(p.Read(t, source.file), "Hello", "Welcome"))
			waitGreeting(t, run, "Welcome Ada")

			// A mistake is shown; kre waits for the next save.
			good := p.Read(t, source.file)
			p.Write(t, source.file, good+source.mistake)
			run.WaitFor(t, source.complaint)
			p.Write(t, source.file, strings.ReplaceAll(good, "Welcome", "Hi"))
			waitGreeting(t, run, "Hi Ada")
		})
	}
}

// Where only handlers changed, the worker is replaced: its runner, which holds what the broker has delivered, stays.
func TestAReloadOfHandlersKeepsTheRunner(t *testing.T) {
	t.Parallel()
	p := harness.Project{Dir: filepath.Join(t.TempDir(), "demo")}
	harness.MustKre(t, filepath.Dir(p.Dir), "init", "demo", "--lang", "python")
	file := sources[harness.Python].file
	p.Write(t, file, strings.ReplaceAll(p.Read(t, file), "{ctx.get('greeting')} {request.name}", "one {__import__('os').getppid()}"))
	run := harness.Ready(t, harness.Options{Target: p.Dir})
	runner := func(beginning string) string {
		var pid string
		harness.Eventually(t, "the answer begins with "+beginning, func() (bool, string) {
			answer, err := run.JSON(patience(t), "demo.Greeter/Greet", `{"name":"Ada"}`)
			if err != nil {
				return false, err.Error()
			}
			text, found := strings.CutPrefix(answer.Body, `{"text":"`+beginning+` `)
			pid = text
			return answer.Status == http.StatusOK && found, answer.Body
		})
		return pid
	}
	before := runner("one")
	p.Write(t, file, strings.ReplaceAll(p.Read(t, file), "one {", "two {"))
	require.Equal(t, before, runner("two"))
}

func TestTheTestsOfANewProjectPass(t *testing.T) {
	commands := map[harness.Language][]string{
		harness.Python: {".venv/bin/python", "-m", "pytest"},
		harness.Go:     {"go", "test", "./..."},
	}
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			harness.MustKre(t, dir, "init", "demo", "--lang", string(language))
			stdout, stderr, code := harness.Command(t, filepath.Join(dir, "demo"), commands[language]...)
			require.Zero(t, code, stdout+stderr)
		})
	}
}

func waitGreeting(t *testing.T, run *harness.Run, want string) {
	t.Helper()
	harness.Eventually(t, "the answer is "+want, func() (bool, string) {
		answer, err := run.JSON(patience(t), "demo.Greeter/Greet", `{"name":"Ada"}`)
		if err != nil {
			return false, err.Error()
		}
		return answer.Status == http.StatusOK && strings.Contains(answer.Body, want), answer.Body
	})
}
