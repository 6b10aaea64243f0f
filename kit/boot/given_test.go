package boot

import (
	"context"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/ports"
)

func TestAValueMayBeGivenByTheNameOfItsFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "token")
	require.NoError(t, os.WriteFile(file, []byte("from the file\n"), 0o600))
	t.Setenv("TEST_TOKEN_FILE", file)
	token := func(args ...string) (given string) {
		p := newProgram()
		require.Equal(t, ExitOK, p.run(func(_ context.Context, _ *Process, c config) error {
			given = c.Token
			return nil
		}, args...), p.err.String())
		return given
	}
	require.Equal(t, "from the file", token())
	require.Equal(t, "from the flag", token("--token=from the flag"))
	t.Setenv("TEST_TOKEN", "from the variable")
	require.Equal(t, "from the variable", token())

	t.Setenv("TEST_TOKEN", "")
	t.Setenv("TEST_TOKEN_FILE", filepath.Join(t.TempDir(), "nothing"))
	p := newProgram()
	require.Equal(t, ExitUsage, p.run(func(context.Context, *Process, config) error { return nil }))
	require.Contains(t, p.err.String(), "TEST_TOKEN_FILE: open ")
}

func TestAProbeTellsWhetherTheProgramIsReady(t *testing.T) {
	port, err := ports.Pick(nil)
	require.NoError(t, err)
	address := ports.Address(ports.Loopback, port)
	probe := func() int {
		return newProgram().run(func(context.Context, *Process, config) error {
			require.FailNow(t, "a probe runs nothing")
			return nil
		}, "--probe", "--metrics-addr="+address)
	}
	require.Equal(t, ExitFailed, probe(), "nothing is there")
	require.Equal(t, ExitOK, newProgram().run(func(_ context.Context, process *Process, _ config) error {
		require.Equal(t, ExitFailed, probe(), "it is not ready")
		require.NoError(t, process.Ready())
		require.Equal(t, ExitOK, probe())
		return nil
	}, "--metrics-addr="+address))
	require.Equal(t, ExitFailed, newProgram().run(nil, "--probe"), "no address")
}
