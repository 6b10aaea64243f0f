package e2e_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

func TestFiveMistakesAreFiveComplaints(t *testing.T) {
	t.Parallel()
	p := harness.Testdata(t, "steps", harness.Python)
	p.Replace(t, "krt.yml", "description:", "descriptionn:")
	p.Replace(t, "krt.yml", "entrypoint: Chain", "entrypoint: Chian")
	p.Replace(t, "krt.yml", "exitpoint: join", "exitpoint: jion")
	p.Replace(t, "krt.yml", "env: {STEP: two}, subscriptions: [hub]", "env: {STEP: two}, subscriptions: [hob]")
	p.Replace(t, "krt.yml", "{name: aside, image: none, src: src/step/main.py", "{name: aside, image: none, src: src/stepp/main.py")
	stdout, stderr, code := harness.Kre(t, p.Dir, "validate")
	require.NotZero(t, code)
	for _, complaint := range []string{
		`\(line 4\): .*"descriptionn".*did you mean "description"\?`,
		`\(line 11\): .*"Chian".*did you mean "Chain"\?`,
		`\(line 19\): .*"jion".*did you mean "join"\?`,
		`\(line 32\): unknown node "hob"; did you mean "hub"\?`,
		`\(line 34\): .*src/stepp/main.py.*src/step/main.py`,
	} {
		require.Regexp(t, complaint, stdout+stderr)
	}
	require.Contains(t, stdout+stderr, "5 complaints")
}
