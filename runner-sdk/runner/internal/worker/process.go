package worker

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// descriptor is the number that the worker's end of the socket has in it.
const descriptor = 3

const (
	// socketVariable tells the worker that number.
	socketVariable = "KRE_WORKER_FD"
	// markVariable tells which of the runner's workers a process belongs to. Nobody reads it but this package.
	markVariable = "KRE_WORKER_MARK"
)

// private are the variables of the runner that are nothing to a worker.
var private = []string{
	"KRE_CONFIG", "KRE_NATS_URL", "KRE_NATS_CREDS", "KRE_READY_FILE", "KRE_LOG_FORMAT", "KRE_LOG_LEVEL", "KRE_METRICS_ADDR",
	socketVariable, markVariable,
}

// process is a worker's process.
type process struct {
	*os.Process
	socket      *os.File // our end
	out, errors *lines
}

// spawn starts a worker's process.
func spawn(o Options, mark string, printed, complained func(line []byte)) (*process, error) {
	path, err := exec.LookPath(o.Command[0])
	if err != nil {
		return nil, &EndedError{Code: codeNotFound, Reason: "cannot be started: " + strings.TrimPrefix(err.Error(), "exec: ")}
	}
	var ours []io.Closer
	fail := func(err error) (*process, error) {
		for _, end := range ours {
			err = errors.Join(err, end.Close())
		}
		return nil, err
	}
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("making the worker's socket: %w", err)
	}
	theirs := os.NewFile(uintptr(pair[1]), "worker's socket")
	defer theirs.Close() //nolint:errcheck // the worker has it
	if err := unix.SetNonblock(pair[0], true); err != nil {
		return nil, errors.Join(fmt.Errorf("making the worker's socket: %w", err), unix.Close(pair[0]))
	}
	p := &process{socket: os.NewFile(uintptr(pair[0]), "socket")}
	ours = append(ours, p.socket)
	outRead, outWrite, err := os.Pipe()
	if err != nil {
		return fail(fmt.Errorf("making the worker's output: %w", err))
	}
	defer outWrite.Close() //nolint:errcheck // the worker has it
	ours = append(ours, outRead)
	errRead, errWrite, err := os.Pipe()
	if err != nil {
		return fail(fmt.Errorf("making the worker's output: %w", err))
	}
	defer errWrite.Close() //nolint:errcheck // as above
	ours = append(ours, errRead)
	nothing, err := os.Open(os.DevNull)
	if err != nil {
		return fail(err)
	}
	defer nothing.Close() //nolint:errcheck // only read
	p.Process, err = start(path, o.Command, &os.ProcAttr{
		Dir: o.Dir, Env: environment(o.Env, mark), Files: []*os.File{nothing, outWrite, errWrite, theirs},
	})
	if err != nil {
		return fail(&EndedError{Code: codeNotRun, Reason: "cannot be started: " + err.Error()})
	}
	p.out, p.errors = passOn(outRead, printed), passOn(errRead, complained)
	return p, nil
}

func environment(inherited []string, mark string) []string {
	env := slices.DeleteFunc(slices.Clone(inherited), func(pair string) bool {
		name, _, _ := strings.Cut(pair, "=")
		return slices.Contains(private, name)
	})
	return append(env, socketVariable+"="+strconv.Itoa(descriptor), markVariable+"="+mark)
}

// Codes as shells have them.
const (
	codeNotRun   = 126
	codeNotFound = 127
	codeSignal   = 128 // and the signal's number
)

// EndedError says how a worker ended that could not do its work.
type EndedError struct {
	Code   int // for the process that runs it
	Reason string
}

func (e *EndedError) Error() string { return "the worker " + e.Reason }

// endOf tells of an end.
func endOf(state *os.ProcessState, err error) *EndedError {
	if err != nil {
		return &EndedError{Code: 1, Reason: "ended, and nobody knows how: " + err.Error()}
	}
	status, ok := state.Sys().(syscall.WaitStatus)
	switch {
	case !ok:
		return &EndedError{Code: 1, Reason: "ended: " + state.String()}
	case status.Signaled():
		name := status.Signal().String()
		if status.Signal() == syscall.SIGKILL {
			name += ": perhaps memory ran out"
		}
		return &EndedError{Code: codeSignal + int(status.Signal()), Reason: fmt.Sprintf("was ended by signal %d (%s)", status.Signal(), name)}
	}
	return &EndedError{Code: status.ExitStatus(), Reason: fmt.Sprintf("ended with code %d", status.ExitStatus())}
}
