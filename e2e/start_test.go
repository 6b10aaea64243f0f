package e2e_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/e2e/harness"
)

func TestANodeThatDoesNotStartEndsTheRunAndIsNamed(t *testing.T) {
	tests := map[string]struct {
		language harness.Language
		edit     func(*testing.T, harness.Project)
		says     []string // regular expressions
	}{
		"import error": {harness.Python, func(t *testing.T, p harness.Project) {
			p.Write(t, "src/step/main.py", "import no_such_module\n")
		}, []string{"cannot start (first|second|third): it ended with code 1", "No module named 'no_such_module'"}},
		"missing file in Python": {harness.Python, func(t *testing.T, p harness.Project) {
			p.Replace(t, "src/step/main.py", "    record(\"process\"", "    open(ctx.path(\"models/none.bin\"))\n    record(\"process\"")
		}, []string{"cannot start (first|second|third): it ended with code", "models/none.bin"}},
		"missing file in Go": {harness.Go, func(t *testing.T, p harness.Project) {
			p.Replace(t, "cmd/step/main.go", "{ record(\"process\", name, os.Getpid()) }",
				"{\n\tif _, err := os.ReadFile(\"models/none.bin\"); err != nil {\n\t\tpanic(err)\n\t}\n}")
		}, []string{"cannot start (first|second|third): it ended with code", "models/none.bin"}},
		"does not compile": {harness.Go, func(t *testing.T, p harness.Project) {
			p.Replace(t, "cmd/step/main.go", "func main() {", "func main() {\n\tnoSuchFunction()")
		}, []string{"cannot start", "build bin/step from cmd/step", "undefined: noSuchFunction"}},
		"wrong architecture": {harness.Go, func(t *testing.T, p harness.Project) {
			p.Write(t, "bin/step", string(foreignProgram(t)))
			p.MakeExecutable(t, "bin/step")
		}, []string{"(first|second|third) cannot be started", "bin/step is built for linux/s390"}},
		"no handler": {harness.Python, func(t *testing.T, p harness.Project) {
			p.Write(t, "src/step/main.py", "import kre\n")
		}, []string{"cannot start", "has no handler"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := harness.Testdata(t, "steps", test.language)
			onlyChain(t)(p)
			test.edit(t, p)
			run := harness.Start(t, harness.Options{Target: p.Dir, Args: []string{"--env", "RECORD=" + filepath.Join(t.TempDir(), "record")}})
			require.NotZero(t, run.WaitEnd(t), run.Output())
			for _, says := range test.says {
				require.Regexp(t, says, run.Output())
			}
		})
	}
}

func TestAVersionThatIsNotConfiguredDoesNotStart(t *testing.T) {
	t.Parallel()
	p := harness.Testdata(t, "steps", harness.Python)
	run := harness.Start(t, harness.Options{Target: p.Dir})
	require.NotZero(t, run.WaitEnd(t))
	require.Contains(t, run.Output(), "the configuration is not complete: RECORD")
}

func TestAManifestThatIsWrongDoesNotStart(t *testing.T) {
	t.Parallel()
	p := harness.Testdata(t, "steps", harness.Python)
	p.Replace(t, "krt.yml", "subscriptions: [second]", "subscriptions: [secnd]")
	run := harness.Start(t, harness.Options{Target: p.Dir, Args: []string{"--env", "RECORD=x"}})
	require.NotZero(t, run.WaitEnd(t))
	require.Contains(t, run.Output(), `unknown node "secnd"; did you mean "second"?`)
}

// foreignProgram is the head of a program for a machine that nobody tests on.
func foreignProgram(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	header := elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(elf.EM_S390),
		Version: uint32(elf.EV_CURRENT),
		Ehsize:  64,
	}
	require.NoError(t, binary.Write(&b, binary.LittleEndian, header))
	return b.Bytes()
}
