package bench

import (
	"context"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

// BenchmarkStartup measures how long a person waits: from kre init to an answer, from kre run to an answer, and from a
// saved file to an answer with new code.
func BenchmarkStartup(b *testing.B) {
	for b.Loop() {
		for _, language := range harness.Languages() {
			started := time.Now()
			p := initialized(b, language)
			run := harness.Start(b, harness.Options{Target: p.Dir})
			firstAnswer(b, run, "Hello")
			record(b, "init_to_answer_s_"+string(language), time.Since(started).Seconds(), "at most 60")
			run.Stop(b)

			started = time.Now()
			run = harness.Start(b, harness.Options{Target: p.Dir})
			firstAnswer(b, run, "Hello")
			record(b, "run_first_answer_s_"+string(language), time.Since(started).Seconds(), "at most 3")

			source := map[harness.Language]string{harness.Python: "src/greet/main.py", harness.Go: "cmd/greet/main.go"}[language]
			changed := strings.Replace(p.Read(b, source), "Hello", "Welcome", 1)
			started = time.Now()
			p.Write(b, source, changed)
			firstAnswer(b, run, "Welcome")
			record(b, "reload_s_"+string(language), time.Since(started).Seconds(), "at most 2")
			run.Stop(b)
		}
	}
}

// initialized makes a new project.
func initialized(b *testing.B, language harness.Language) harness.Project {
	b.Helper()
	p := harness.Project{Dir: filepath.Join(b.TempDir(), "demo")}
	harness.MustKre(b, filepath.Dir(p.Dir), "init", p.Dir, "--lang", string(language))
	return p
}

// firstAnswer calls the version until it answers with the greeting.
func firstAnswer(b *testing.B, run *harness.Run, greeting string) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 2*harness.Patience)
	defer cancel()
	for ctx.Err() == nil {
		if run.TryReady() {
			answer, err := run.JSON(ctx, "demo.Greeter/Greet", `{"name":"Ada"}`)
			if err == nil && answer.Status == http.StatusOK && strings.Contains(answer.Body, greeting) {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	require.FailNow(b, "no answer", "%s", run.Output())
}
