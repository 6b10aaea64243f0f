// Command step is a node that does as the request says and writes down what happens to it. src/step/main.py is the same
// in Python.
package main

import (
	"fmt"
	"os"
	"syscall"
	"time"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"google.golang.org/protobuf/types/known/anypb"

	"example.com/steps/pb"
)

func main() {
	kre.Start(initialize, handle)
}

var name = os.Getenv("STEP")

// record appends one line; a single write, so that processes do not mix theirs.
func record(words ...any) {
	file, err := os.OpenFile(os.Getenv("RECORD"), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		panic(err)
	}
	defer file.Close()
	if _, err := file.WriteString(fmt.Sprintln(words...)); err != nil {
		panic(err)
	}
}

// initialize tells which process this is.
func initialize(*kre.HandlerContext) { record("process", name, os.Getpid()) }

// handle does as the request says.
func handle(ctx *kre.HandlerContext, data *anypb.Any) error {
	if !ctx.IsMessageOK() {
		kind := "early"
		if ctx.IsMessageError() {
			kind = "error"
		}
		record(kind, name, ctx.GetRequestID())
		if ctx.IsMessageError() && os.Getenv("EXCUSE") != "" {
			return ctx.SendOutput(&pb.Response{Note: "excused"})
		}
		return nil
	}
	step, request := new(pb.Step), new(pb.Request)
	if data.MessageIs(request) {
		if err := data.UnmarshalTo(request); err != nil {
			return kre.Final(err)
		}
		step.Request = request
	} else if err := data.UnmarshalTo(step); err != nil {
		return kre.Final(err)
	}
	request = step.GetRequest()
	step.Path = append(step.Path, name)
	record("run", name, request.GetId())

	switch name {
	case request.GetKill():
		return syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case request.GetFail():
		return fmt.Errorf("no %s", request.GetId())
	case request.GetFailFinal():
		return kre.Final(fmt.Errorf("never %s", request.GetId()))
	case request.GetSlow():
		time.Sleep(time.Duration(request.GetSlowMs()) * time.Millisecond)
	case request.GetSilent():
		return nil
	case request.GetEarlyExit():
		return ctx.SendEarlyExit(&pb.Response{Id: request.GetId(), Path: step.GetPath(), Note: "early exit"})
	case request.GetEarlyReply():
		if err := ctx.SendEarlyReply(&pb.Response{Id: request.GetId(), Path: step.GetPath(), Note: "early reply"}); err != nil {
			return err
		}
	}
	if channel := os.Getenv("CHANNEL"); channel != "" {
		if err := ctx.SendOutput(step, channel); err != nil {
			return err
		}
	}
	if os.Getenv("ANSWER") != "" {
		return ctx.SendOutput(&pb.Response{Id: request.GetId(), Path: step.GetPath()})
	}
	return ctx.SendOutput(step)
}
