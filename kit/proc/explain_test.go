package proc_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
)

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

func TestSaysWhyAProgramCannotBeStarted(t *testing.T) {
	here := runtime.GOOS + "/" + runtime.GOARCH
	tests := map[string]struct {
		content []byte
		mode    os.FileMode
		want    string
	}{
		"missing":                {nil, 0, "cannot be started: FILE does not exist"},
		"not executable":         {[]byte("#!/bin/sh\n"), 0o600, "cannot be started: FILE is not executable (chmod +x?)"},
		"another machine":        {foreignProgram(t), 0o700, "cannot be started: FILE is built for linux/s390, and this machine is " + here},
		"no program":             {[]byte("print('hi')\n"), 0o700, "cannot be started: FILE is no program for this machine (" + here + "), and no script either: it does not begin with #! and an interpreter"},
		"interpreter is missing": {[]byte("#!/no/such/python\n"), 0o700, "cannot be started: FILE is there, but what should interpret it is not (/no/such/python)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := supervisor(t)
			file := filepath.Join(t.TempDir(), "node")
			if test.mode != 0 {
				require.NoError(t, os.WriteFile(file, test.content, test.mode))
			}
			p := s.Start(proc.Spec{Name: "node", Path: file})
			err := p.WaitReady(patience(t))
			var failure *proc.Failure
			require.ErrorAs(t, err, &failure)
			want := bytes.ReplaceAll([]byte(test.want), []byte("FILE"), []byte(file))
			require.Contains(t, failure.Reason, string(want))
		})
	}
}

func TestAnExitIsToldInWords(t *testing.T) {
	tests := map[string]struct{ script, want string }{
		"code":       {`exit 2`, "node ended with code 2"},
		"killed":     {`kill -KILL $$`, "node was killed by SIGKILL (out of memory?)"},
		"crashed":    {`kill -SEGV $$`, "node crashed with SIGSEGV in native code"},
		"terminated": {`kill -TERM $$`, "node was killed by SIGTERM"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, _ := supervisor(t)
			p := s.Start(shell("node", test.script))
			waitEnded(t, p)
			require.EqualError(t, p.Err(), test.want)
		})
	}
}
