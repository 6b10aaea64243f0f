// Command node is the Go node that the conformance suite drives. ../README.md says what it does.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"time"

	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
)

func main() {
	if os.Getenv("CONFORMANCE_FORM") == "typed" {
		kre.Handle(func(_ *kre.Context, message *wrapperspb.StringValue) (*wrapperspb.StringValue, error) {
			if message.GetValue() == "" {
				return nil, nil
			}
			return wrapperspb.String("typed: " + message.GetValue()), nil
		})
		kre.On("etl", func(_ *kre.Context, message *wrapperspb.BoolValue) (*wrapperspb.StringValue, error) {
			return wrapperspb.String(fmt.Sprintf("by etl: %t", message.GetValue())), nil
		})
		kre.Run()
	}
	byETL := func(ctx *kre.HandlerContext, _ *anypb.Any) error { return ctx.SendOutput(wrapperspb.String("by etl")) }
	kre.Start(
		load,
		follow, map[string]kre.Handler{"etl": byETL},
	)
}

func load(ctx *kre.HandlerContext) {
	if path := os.Getenv("CONFORMANCE_INIT"); path != "" {
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			panic(err)
		}
	}
	ctx.Set("greeting", "hello")
}

func follow(ctx *kre.Context, body *anypb.Any) error {
	switch {
	case ctx.IsMessageError():
		var st status.Status
		if err := body.UnmarshalTo(&st); err != nil {
			return fmt.Errorf("reading an error: %w", err)
		}
		switch st.GetMessage() {
		case "etl: refuse this":
			return errors.New("cannot handle errors")
		case "etl: ignore this":
			return nil
		case "etl: reply early":
			return ctx.SendEarlyReply(wrapperspb.String("sorry"))
		}
		return ctx.SendOutput(wrapperspb.String("error: " + st.GetMessage()))
	case ctx.IsMessageEarlyReply(), ctx.IsMessageEarlyExit():
		var text wrapperspb.StringValue
		if err := body.UnmarshalTo(&text); err != nil {
			return fmt.Errorf("reading an early message: %w", err)
		}
		kind := "early reply: "
		if ctx.IsMessageEarlyExit() {
			kind = "early exit: "
		}
		return ctx.SendOutput(wrapperspb.String(kind + text.GetValue()))
	}
	var request structpb.Struct
	if err := body.UnmarshalTo(&request); err != nil {
		return fmt.Errorf("reading the steps: %w", err)
	}
	for _, value := range request.GetFields()["steps"].GetListValue().GetValues() {
		if err := step(ctx, value.GetStructValue().AsMap()); err != nil {
			return err
		}
	}
	return nil
}

func step(ctx *kre.Context, s map[string]any) error {
	channel, _ := s["channel"].(string)
	number := func(name string) int { n, _ := s[name].(float64); return int(n) }
	for name, value := range s {
		text, _ := value.(string)
		switch name {
		case "send":
			return send(ctx.SendOutput, wrapperspb.String(text), channel)
		case "send_many":
			for i := range number(name) {
				if err := ctx.SendOutput(wrapperspb.String(strconv.Itoa(i))); err != nil {
					return err
				}
			}
		case "send_bytes":
			return ctx.SendOutput(wrapperspb.Bytes(make([]byte, number(name))))
		case "early_reply":
			return send(ctx.SendEarlyReply, wrapperspb.String(text), channel)
		case "early_exit":
			return send(ctx.SendEarlyExit, wrapperspb.String(text), channel)
		case "tell":
			greeting, _ := ctx.Get("greeting").(string)
			return ctx.SendOutput(wrapperspb.String(fmt.Sprintf("%s %s %s %d %s %t", greeting,
				ctx.GetRequestID(), ctx.GetMessageID(), ctx.GetAttempt(), ctx.Path("models/m"), ctx.IsMessageOK())))
		case "fail":
			if last := number("until"); last == 0 || ctx.GetAttempt() < last {
				return errors.New(text)
			}
		case "final":
			return kre.Final(errors.New(text))
		case "refuse":
			return kre.Errorf(kre.InvalidArgument, "%s", text)
		case "fail_half":
			return errors.New(text + "\xed\xa0\xbd") // what other languages make of half a pair of UTF-16
		case "log":
			ctx.Logger.Debug(text)
			ctx.Logger.Info(text)
			ctx.Logger.Warn(text)
			ctx.Logger.Error(text)
		case "panic":
			panic(text)
		case "leave":
			runtime.Goexit()
		case "end":
			os.Exit(1)
		case "touch":
			return os.WriteFile(text, nil, 0o600)
		case "hold":
			for end := time.Now().Add(time.Duration(number(name)) * time.Second); time.Now().Before(end); { //nolint:revive // it does nothing but that
			}
		case "wait_for":
			for {
				if _, err := os.Stat(text); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
		}
	}
	return nil
}

func send(verb func(proto.Message, ...string) error, message proto.Message, channel string) error {
	if channel == "" {
		return verb(message)
	}
	return verb(message, channel)
}
