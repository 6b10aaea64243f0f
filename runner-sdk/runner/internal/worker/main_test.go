package worker

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/worker/v1"
)

// behaviour names what this binary does where it is started as a worker, or as something else that a test needs.
const behaviour = "WORKER_TEST_BEHAVIOUR"

func TestMain(m *testing.M) {
	what := os.Getenv(behaviour)
	switch what {
	case "":
		os.Exit(m.Run())
	case "parent":
		parent()
	default:
		os.Exit(behave(what))
	}
}

// socket is the worker's side.
type socket struct{ *os.File }

func (s socket) read() *workerv1.ToWorker {
	var header [4]byte
	if _, err := io.ReadFull(s, header[:]); err != nil {
		os.Exit(0) // the runner has gone
	}
	body := make([]byte, binary.BigEndian.Uint32(header[:]))
	if _, err := io.ReadFull(s, body); err != nil {
		os.Exit(0)
	}
	frame := new(workerv1.ToWorker)
	if err := proto.Unmarshal(body, frame); err != nil {
		panic(err)
	}
	return frame
}

func (s socket) write(frames ...*workerv1.FromWorker) {
	var all []byte
	for _, frame := range frames {
		body, err := proto.Marshal(frame)
		if err != nil {
			panic(err)
		}
		all = append(binary.BigEndian.AppendUint32(all, uint32(len(body))), body...)
	}
	if _, err := s.Write(all); err != nil {
		os.Exit(0)
	}
}

func ready() *workerv1.FromWorker {
	return &workerv1.FromWorker{Frame: &workerv1.FromWorker_Ready{Ready: &workerv1.Ready{Protocol: 1, Runtime: "a test"}}}
}

func output(run uint64, text string) *workerv1.FromWorker {
	return &workerv1.FromWorker{Frame: &workerv1.FromWorker_Output{Output: &workerv1.Output{
		Run: run, Kind: workerv1.Kind_KIND_OK, Body: []byte(text),
	}}}
}

func end(run uint64, outcome workerv1.End_Outcome) *workerv1.FromWorker {
	return &workerv1.FromWorker{Frame: &workerv1.FromWorker_End{End: &workerv1.End{Run: run, Outcome: outcome, HandlerUs: 1}}}
}

// behave is a worker. Before it is ready it does what it is told; then what the bodies of its runs say.
func behave(what string) int {
	descriptor, err := strconv.Atoi(os.Getenv("KRE_WORKER_FD"))
	if err != nil {
		panic(err)
	}
	s := socket{os.NewFile(uintptr(descriptor), "socket")}
	hello := s.read().GetHello()
	switch what {
	case "fail":
		fmt.Println("loading")
		fmt.Fprintln(os.Stderr, "Traceback (most recent call last):\n  File \"x.py\", line 1\nImportError: no module")
		fmt.Fprint(os.Stderr, "without a line feed")
		return 7
	case "signal":
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		time.Sleep(time.Hour)
	case "other version":
		s.write(&workerv1.FromWorker{Frame: &workerv1.FromWorker_Ready{Ready: &workerv1.Ready{Protocol: 9}}})
		time.Sleep(time.Hour)
	case "garbage":
		_, _ = s.Write([]byte{0, 0, 0, 2, 0xff, 0xff})
		time.Sleep(time.Hour)
	case "huge":
		_, _ = s.Write([]byte{0xff, 0xff, 0xff, 0xff})
		time.Sleep(time.Hour)
	case "deaf": // never reads again, and does not end
		s.write(ready())
		time.Sleep(time.Hour)
	case "tell":
		fmt.Printf("%s %s %s %s %d %s\n", hello.GetNode(), hello.GetSrc(), hello.GetPackage(), hello.GetLogLevel(),
			hello.GetMaxOutputBytes(), strings.Join(os.Environ(), " "))
	}
	s.write(ready())
	for {
		switch frame := s.read().GetFrame().(type) {
		case *workerv1.ToWorker_Run:
			s.handle(frame.Run)
		case *workerv1.ToWorker_Stop:
			return 0
		}
	}
}

func (s socket) handle(run *workerv1.Run) {
	n := run.GetRun()
	switch body := string(run.GetBody()); {
	case body == "die":
		s.write(output(n, "told before"))
		os.Exit(1)
	case strings.HasPrefix(body, "wait for "):
		for {
			if _, err := os.Stat(strings.TrimPrefix(body, "wait for ")); err == nil {
				break
			}
			time.Sleep(time.Millisecond)
		}
	case body == "leave children": // that keep everything open
		for _, session := range []bool{false, true} {
			child := exec.Command("sleep", "1000")
			child.Stdout, child.Stderr, child.ExtraFiles = os.Stdout, os.Stderr, []*os.File{s.File}
			child.SysProcAttr = &syscall.SysProcAttr{Setsid: session}
			if err := child.Start(); err != nil {
				panic(err)
			}
			fmt.Printf("child %d\n", child.Process.Pid)
		}
		os.Exit(1)
	case body == "stop reading": // the socket is closed, the process goes on
		_ = s.Close()
		time.Sleep(time.Hour)
	case body == "unknown run":
		s.write(end(1000, workerv1.End_OUTCOME_DONE))
	case strings.HasPrefix(body, "daemon "): // a process of its own session, whose parent ends
		shell := exec.Command("sh", "-c", "setsid sleep ${SECONDS_TO_LIVE:-1000} >/dev/null 2>&1 </dev/null & echo $! >"+strings.TrimPrefix(body, "daemon "))
		if err := shell.Run(); err != nil {
			panic(err)
		}
	case run.GetExpiresUnixUs() > 0 && time.Now().UnixMicro() >= run.GetExpiresUnixUs():
		s.write(end(n, workerv1.End_OUTCOME_NOT_BEGUN))
		return
	case body == "print":
		fmt.Println("a line")
	}
	// The runs behind it, if it was told to stop meanwhile: this worker looks at the socket in order.
	s.write(output(n, "done"), end(n, workerv1.End_OUTCOME_DONE))
}

// parent starts a worker, tells its process id, and waits to be killed.
func parent() {
	w := New(options("serve", nil))
	if err := w.Open(tContext{}, 1000, new(events)); err != nil {
		panic(err)
	}
	fmt.Println(w.life.process.Pid)
	time.Sleep(time.Hour)
}
