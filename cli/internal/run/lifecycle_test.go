package run_test

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/archive"
)

func TestRunsAVersionUntilCtrlC(t *testing.T) {
	k := newProject(t).run(t)
	state := k.waitReady(t)
	require.Equal(t, k.cmd.Process.Pid, state.PID)
	for _, address := range []string{state.GRPC, state.HTTP} {
		conn, err := net.Dial("tcp", address)
		require.NoError(t, err)
		require.NoError(t, conn.Close())
	}
	first, last := k.number(t, "first", 1), k.number(t, "last", 1)
	require.Contains(t, k.stdout.String(), "start  first ✓ last ✓")
	require.Contains(t, k.stdout.String(), "kre call Work '{}'")

	k.interrupt(t)
	require.Equal(t, 0, k.end(t))
	require.False(t, alive(first))
	require.False(t, alive(last))
	require.Empty(t, k.stderr.String())
}

func TestANodeThatDoesNotStartEndsTheRunAndIsNamedWithItsLastLines(t *testing.T) {
	p := newProject(t)
	p.write(t, "bin/last", "#!/bin/sh\necho loading\necho 'ModuleNotFoundError: numpy' >&2\nexit 3\n")
	k := p.run(t)
	require.Equal(t, 1, k.end(t))
	require.True(t, strings.HasPrefix(k.stderr.String(),
		"kre: cannot start last: it ended with code 3 before it was ready; its last lines:\n"), k.stderr)
	require.Contains(t, k.stderr.String(), "\n  loading\n")
	require.Contains(t, k.stderr.String(), "\n  ModuleNotFoundError: numpy\n")
}

func TestAProgramForAnotherMachineIsNamed(t *testing.T) {
	var program bytes.Buffer
	require.NoError(t, binary.Write(&program, binary.LittleEndian, elf.Header64{
		Ident:   [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:    uint16(elf.ET_EXEC),
		Machine: uint16(elf.EM_S390),
		Version: uint32(elf.EV_CURRENT),
		Ehsize:  64,
	}))
	p := newProject(t)
	p.write(t, "bin/first", program.String())
	k := p.run(t)
	require.Equal(t, 1, k.end(t))
	require.Contains(t, k.stderr.String(), "kre: first cannot be started: ")
	require.Contains(t, k.stderr.String(), "bin/first is built for linux/s390, and this machine is ")
}

func TestANodeThatIsNotReadyInTimeIsNamed(t *testing.T) {
	p := newProject(t)
	p.write(t, "krt.yml", manifestHead+strings.Replace(manifestNodes, "src: bin/last,", "src: bin/last, startTimeout: 1s,", 1))
	p.write(t, "bin/last", "#!/bin/sh\necho thinking\nwhile :; do sleep 0.02; done\n")
	k := p.run(t)
	require.Equal(t, 1, k.end(t))
	require.Contains(t, k.stderr.String(), "kre: cannot start last: it was not ready after 1s; its last lines:\n  thinking\n")
}

func TestANodeThatDiesLaterIsStartedAgain(t *testing.T) {
	k := newProject(t).run(t)
	k.waitReady(t)
	first := k.number(t, "first", 1)
	require.NoError(t, syscall.Kill(first, syscall.SIGKILL))
	k.waitFor(t, "was killed by SIGKILL (out of memory?); starting it again in 0.1 s")
	k.waitFor(t, "ready again")
	require.NotEqual(t, first, k.number(t, "first", 2))
	k.interrupt(t)
	require.Equal(t, 0, k.end(t))
}

func TestCtrlCDuringTheStartLeavesNothing(t *testing.T) {
	p := newProject(t)
	p.write(t, "bin/last", "#!/bin/sh\nsleep 1000 &\necho \"here is $!\"\nwait\n") // never ready
	k := p.run(t)
	child := k.number(t, "last", 1)
	k.interrupt(t)
	require.Equal(t, 130, k.end(t))
	require.False(t, alive(child))
	require.Empty(t, k.stderr.String())
}

func TestASecondCtrlCDoesNotWait(t *testing.T) {
	p := newProject(t)
	p.write(t, "bin/last", "#!/bin/sh\ntrap 'echo no' TERM\ntouch \"$KRE_READY_FILE\"\nwhile :; do sleep 0.02; done\n")
	k := p.run(t)
	k.waitReady(t)
	k.interrupt(t)
	k.waitFor(t, "last   no")
	k.interrupt(t)
	require.Equal(t, 130, k.end(t))
}

func TestAKilledRunLeavesNoProcessAndTheNextOneCleansUp(t *testing.T) {
	p := newProject(t)
	p.write(t, "bin/last", strings.Replace(ready, `"here is $$"`, "$(sleep 1000 >/dev/null & echo here is $!)", 1))
	k := p.run(t)
	k.waitReady(t)
	numbers := []int{k.number(t, "first", 1), k.number(t, "last", 1)}
	require.True(t, alive(numbers[1]))
	require.NoError(t, k.cmd.Process.Kill())
	<-k.ended
	eventually(t, func() bool { return len(session(t, k.cmd.Process.Pid)) == 0 }, "processes are left")
	for _, number := range numbers {
		require.False(t, alive(number))
	}

	next := p.run(t)
	next.waitReady(t)
	next.interrupt(t)
	require.Equal(t, 0, next.end(t)) // which looks for what the first one left
}

func TestRefusesToStartUntilEveryDeclaredValueIsGiven(t *testing.T) {
	p := newProject(t)
	p.write(t, "krt.yml", manifestHead+"config: {variables: [API_KEY, REGION], files: [CERT]}\n"+manifestNodes)
	p.write(t, ".env", "REGION=eu\n")
	p.write(t, "bin/first", strings.Replace(ready, "echo", `echo "got $API_KEY $REGION $(cat "$CERT") <$SECRET_OF_THE_SHELL>"; echo`, 1))
	k := p.run(t)
	require.Equal(t, 1, k.end(t))
	require.Contains(t, k.stderr.String(), "kre: the configuration is not complete: API_KEY, CERT\n  --env API_KEY=VALUE ")
	require.Contains(t, k.stderr.String(), "\n  --file CERT=PATH ")

	p.write(t, "cert.pem", "certificate")
	k = p.run(t, "--env", "API_KEY=a=b, c", "--file", "CERT=cert.pem")
	k.waitReady(t)
	k.waitFor(t, "got a=b, c eu certificate <>")
	k.interrupt(t)
	require.Equal(t, 0, k.end(t))
}

func TestATakenPortIsReplacedAndPrinted(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close() //nolint:errcheck // only there to be in the way
	_, taken, err := net.SplitHostPort(listener.Addr().String())
	require.NoError(t, err)

	p := newProject(t)
	k := p.start(t, "run", p.dir, "--grpc-port="+taken, "--http-port=0")
	state := k.waitReady(t)
	_, port, err := net.SplitHostPort(state.GRPC)
	require.NoError(t, err)
	require.Contains(t, k.stdout.String(), "port "+taken+" is taken: "+port+" instead")
	require.Contains(t, k.stdout.String(), "grpc :"+port)
}

func TestReplicasAreProcessesOfTheirOwn(t *testing.T) {
	p := newProject(t)
	p.write(t, "krt.yml", manifestHead+strings.Replace(manifestNodes, "src: bin/first,", "src: bin/first, replicas: 2,", 1))
	k := p.run(t)
	k.waitReady(t)
	require.NotEqual(t, k.number(t, "first.1", 1), k.number(t, "first.2", 1))
}

func TestMessagesStayInTheFolderThatIsGivenForThem(t *testing.T) {
	p := newProject(t)
	data := filepath.Join(t.TempDir(), "data")
	k := p.run(t, "--data", data)
	k.waitReady(t)

	other := p.run(t, "--data", data)
	<-other.ended
	require.Equal(t, "kre: "+data+" is used by another kre run\n", other.stderr.String())

	k.interrupt(t)
	require.Equal(t, 0, k.end(t))
	require.DirExists(t, filepath.Join(data, "jetstream"))
	k = p.run(t, "--data", data)
	k.waitReady(t)
}

func TestLogLinesArePassedOnAsJSON(t *testing.T) {
	p := newProject(t)
	p.write(t, "bin/first", strings.Replace(ready, "echo", `echo '{"level":"info","message":"m","node":"first"}'; echo`, 1))
	k := p.run(t, "--log-format=json")
	k.waitFor(t, "Ctrl-C stops everything")
	require.Contains(t, k.stdout.String(), `{"level":"info","message":"m","node":"first"}`+"\n")
	for line := range strings.Lines(k.stdout.String()) {
		if !strings.HasPrefix(line, "here is") { // what a node prints by itself is passed on, too
			require.Truef(t, json.Valid([]byte(line)), "%s", line)
		}
	}
}

func TestAPackedVersionRunsFromItsFileAlone(t *testing.T) {
	p := newProject(t)
	p.write(t, "words.txt", "packed words")
	p.write(t, "bin/first", strings.Replace(ready, "echo", `echo "$(cat words.txt), $PWD"; echo`, 1))
	file, err := os.Create(filepath.Join(t.TempDir(), "shells.krt"))
	require.NoError(t, err)
	sources, _, err := archive.Scan(p.dir)
	require.NoError(t, err)
	_, err = archive.Write(t.Context(), file, sources, nil)
	require.NoError(t, err)
	require.NoError(t, file.Close())

	elsewhere := project{dir: t.TempDir(), cache: p.cache}
	k := elsewhere.start(t, "run", file.Name(), "--grpc-port=0", "--http-port=0")
	k.waitReady(t)
	k.waitFor(t, "first  packed words, ")
	require.NotContains(t, k.stdout.String(), "watching")
	require.NotContains(t, k.stdout.String(), p.dir)
	k.interrupt(t)
	require.Equal(t, 0, k.end(t))
	require.NoDirExists(t, filepath.Join(elsewhere.dir, ".kre"))
}

func TestSaysWhatIsWrongBeforeAnythingStarts(t *testing.T) {
	p := newProject(t)
	tests := map[string]struct {
		args []string
		want string
		code int
	}{
		"no such project":   {[]string{"run", "nowhere"}, "kre: nowhere does not exist; give the folder of a project or a .krt file\n", 1},
		"no manifest":       {[]string{"run", "bin"}, "kre: no manifest: there is none of krt.yml", 1},
		"no archive":        {[]string{"run", "krt.yml"}, "kre: cannot unpack krt.yml: ", 1},
		"undeclared value":  {[]string{"run", ".", "--env", "A=b"}, "kre: A is given but not declared: the manifest has no config.variables\n", 1},
		"half a value":      {[]string{"run", ".", "--env", "A"}, `kre: "A" is not of the form --env KEY=VALUE` + "\n", 1},
		"missing .env":      {[]string{"run", ".", "--env-file", "none.env"}, "kre: the file of configuration values: ", 1},
		"impossible port":   {[]string{"run", ".", "--grpc-port", strconv.Itoa(1 << 16)}, "kre: port 65536: want 0 to 65535\n", 1},
		"unknown flag":      {[]string{"run", ".", "--nowatch"}, `kre: unknown flag --nowatch, did you mean "--no-watch"?`, 2},
		"negative attempts": {[]string{"run", ".", "--attempts=-1"}, "kre: --attempts -1: want 1 to 1000\n", 1},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			k := p.start(t, test.args...)
			require.Equal(t, test.code, k.end(t))
			require.Truef(t, strings.HasPrefix(k.stderr.String(), test.want), "%s", k.stderr)
		})
	}
}
