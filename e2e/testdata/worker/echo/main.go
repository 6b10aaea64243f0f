// Command echo is a node that speaks the worker protocol itself: it sends what it gets, and refuses nothing.
package main

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"strconv"

	"google.golang.org/protobuf/proto"

	workerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/worker/v1"
)

func main() {
	if err := serve(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() error {
	descriptor, err := strconv.Atoi(os.Getenv("KRE_WORKER_FD"))
	if err != nil {
		return fmt.Errorf("KRE_WORKER_FD: %w", err)
	}
	socket := os.NewFile(uintptr(descriptor), "socket")
	write := func(frame *workerv1.FromWorker) error {
		body, err := proto.Marshal(frame)
		if err != nil {
			return err
		}
		_, err = socket.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...))
		return err
	}
	for {
		var length [4]byte
		if _, err := io.ReadFull(socket, length[:]); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(length[:]))
		if _, err := io.ReadFull(socket, body); err != nil {
			return err
		}
		frame := new(workerv1.ToWorker)
		if err := proto.Unmarshal(body, frame); err != nil {
			return err
		}
		var answers []*workerv1.FromWorker
		switch f := frame.GetFrame().(type) {
		case *workerv1.ToWorker_Hello:
			answers = []*workerv1.FromWorker{{Frame: &workerv1.FromWorker_Ready{Ready: &workerv1.Ready{Protocol: 1}}}}
		case *workerv1.ToWorker_Run:
			n := f.Run.GetRun()
			answers = []*workerv1.FromWorker{
				{Frame: &workerv1.FromWorker_Output{Output: &workerv1.Output{Run: n, Kind: workerv1.Kind_KIND_OK, Body: f.Run.GetBody()}}},
				{Frame: &workerv1.FromWorker_End{End: &workerv1.End{Run: n, Outcome: workerv1.End_OUTCOME_DONE, HandlerUs: 1}}},
			}
		case *workerv1.ToWorker_Stop:
			return nil
		}
		for _, answer := range answers {
			if err := write(answer); err != nil {
				return err
			}
		}
	}
}
