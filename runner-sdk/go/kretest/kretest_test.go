package kretest_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	kre "github.com/konstellation-io/kre/runner-sdk/go"
	"github.com/konstellation-io/kre/runner-sdk/go/kretest"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func price(ctx *kre.Context, carat *wrapperspb.DoubleValue) (*wrapperspb.StringValue, error) {
	switch {
	case carat.GetValue() < 0:
		return nil, kre.Final(errors.New("a negative weight"))
	case carat.GetValue() == 0:
		return nil, nil
	}
	return wrapperspb.String(os.Getenv("CURRENCY") + " from " + ctx.GetSender()), nil
}

func TestCallsATypedHandler(t *testing.T) {
	var out wrapperspb.StringValue
	sent := kretest.Call(t, price, wrapperspb.Double(1), kretest.Sender("etl"), kretest.Env("CURRENCY", "EUR")).One(&out)
	require.Equal(t, "EUR from etl", out.GetValue())
	require.Equal(t, wire.OK, sent.Kind)
	require.Empty(t, sent.Channel)
}

func TestNilResponseSendsNothing(t *testing.T) {
	kretest.Call(t, price, wrapperspb.Double(0)).None()
}

func TestErrorOfTheHandlerIsTheResult(t *testing.T) {
	result := kretest.Call(t, price, wrapperspb.Double(-1))
	require.EqualError(t, result.Err(), "a negative weight")
	require.True(t, result.IsFinal())
}

func TestTypedHandlerRefusesAnotherType(t *testing.T) {
	result := kretest.Call(t, price, wrapperspb.Bool(true), kretest.Sender("etl"))
	require.EqualError(t, result.Err(), `message from "etl": expected google.protobuf.DoubleValue, received google.protobuf.BoolValue`)
	require.True(t, result.IsFinal())
}

func TestTypedHandlerRefusesBytesThatAreNone(t *testing.T) {
	body := &anypb.Any{TypeUrl: "type.googleapis.com/google.protobuf.DoubleValue", Value: []byte{1}}
	result := kretest.Call(t, price, body)
	require.ErrorContains(t, result.Err(), `message from "entrypoint": expected google.protobuf.DoubleValue, received bytes that are none`)
	require.True(t, result.IsFinal())
}

func TestTypedHandlerPassesErrorsOnAndDropsEarlyMessages(t *testing.T) {
	result := kretest.Call(t, price, &status.Status{Code: 13, Message: "etl: no"}, kretest.Kind(wire.Error))
	require.True(t, result.Forwarded())
	result.None()
	result = kretest.Call(t, price, wrapperspb.Double(1), kretest.Kind(wire.EarlyReply))
	require.False(t, result.Forwarded())
	result.None()
}

func TestTypedHandlerOfAnyTakesEveryType(t *testing.T) {
	pass := func(_ *kre.Context, body *anypb.Any) (*anypb.Any, error) { return body, nil }
	var out wrapperspb.BoolValue
	kretest.Call(t, pass, wrapperspb.Bool(true)).One(&out)
	require.True(t, out.GetValue())
}

func TestCallsAnUntypedHandler(t *testing.T) {
	handler := func(ctx *kre.HandlerContext, body *anypb.Any) error {
		require.True(t, ctx.IsMessageOK())
		require.Equal(t, kretest.RequestID, ctx.GetRequestID())
		require.Equal(t, kretest.MessageID, ctx.GetMessageID())
		require.Equal(t, 2, ctx.GetAttempt())
		require.NoError(t, ctx.SendEarlyReply(wrapperspb.String("at once")))
		require.NoError(t, ctx.SendAny(body, "repairs"))
		return ctx.SendOutput(wrapperspb.String("later"))
	}
	result := kretest.Call(t, kre.Handler(handler), wrapperspb.Bool(true), kretest.Attempt(2))
	kinds := make([]wire.Kind, 0, 3)
	for _, sent := range result.All() {
		kinds = append(kinds, sent.Kind)
	}
	require.Equal(t, []wire.Kind{wire.EarlyReply, wire.OK, wire.OK}, kinds)
	require.Len(t, result.On("repairs"), 1)
	var repairs wrapperspb.BoolValue
	require.NoError(t, result.On("repairs")[0].Read(&repairs))
	require.True(t, repairs.GetValue())
}

func TestEarlyExitStandsAlone(t *testing.T) {
	handler := func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		require.NoError(t, ctx.SendOutput(wrapperspb.String("before")))
		require.NoError(t, ctx.SendEarlyExit(wrapperspb.String("exit"), "done"))
		return ctx.SendOutput(wrapperspb.String("after"))
	}
	var out wrapperspb.StringValue
	sent := kretest.Call(t, handler, wrapperspb.Bool(true)).One(&out)
	require.Equal(t, wire.EarlyExit, sent.Kind)
	require.Equal(t, "done", sent.Channel)
	require.Equal(t, "exit", out.GetValue())
}

func TestInitAndHandlerShareTheMemory(t *testing.T) {
	load := func(ctx *kre.Context) {
		require.Error(t, ctx.SendOutput(wrapperspb.Bool(true)))
		require.False(t, ctx.IsMessageOK())
		require.Zero(t, ctx.GetAttempt())
		ctx.Set("model", ctx.Get("prefix").(string)+"model")
	}
	handler := func(ctx *kre.Context, _ *wrapperspb.BoolValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(ctx.Get("model").(string)), nil
	}
	var out wrapperspb.StringValue
	kretest.Call(t, handler, wrapperspb.Bool(true), kretest.InitWith(load), kretest.Memory("prefix", "my ")).One(&out)
	require.Equal(t, "my model", out.GetValue())
}

func TestPathCountsFromTheNearestManifest(t *testing.T) {
	project := t.TempDir()
	source := filepath.Join(project, "src", "model")
	require.NoError(t, os.MkdirAll(source, 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(project, "krt.yml"), nil, 0o600))
	t.Chdir(source)
	handler := func(ctx *kre.Context, _ *wrapperspb.BoolValue) (*wrapperspb.StringValue, error) {
		return wrapperspb.String(ctx.Path("models/m.onnx")), nil
	}
	var out wrapperspb.StringValue
	kretest.Call(t, handler, wrapperspb.Bool(true)).One(&out)
	resolved, err := filepath.EvalSymlinks(project)
	require.NoError(t, err)
	require.Equal(t, filepath.Join(resolved, "models", "m.onnx"), out.GetValue())
	kretest.Call(t, handler, wrapperspb.Bool(true), kretest.Root("/package")).One(&out)
	require.Equal(t, filepath.FromSlash("/package/models/m.onnx"), out.GetValue())
}

func TestContextIsOfNoUseAfterTheHandler(t *testing.T) {
	var kept *kre.Context
	handler := func(ctx *kre.Context, _ *wrapperspb.BoolValue) (*wrapperspb.BoolValue, error) {
		kept = ctx
		require.NoError(t, ctx.Err())
		return nil, nil
	}
	kretest.Call(t, handler, wrapperspb.Bool(true)).None()
	require.Error(t, kept.Err())
	require.EqualError(t, kept.SendOutput(wrapperspb.Bool(true)), "sending: the handler has already returned")
}

func TestSendingRefusesWhatCannotBeSent(t *testing.T) {
	handler := func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		require.EqualError(t, ctx.SendOutput(nil), "sending: the message is nil")
		require.EqualError(t, ctx.SendOutput((*structpb.Struct)(nil)), "sending: the message is nil")
		require.EqualError(t, ctx.SendOutput(wrapperspb.Bool(true), "a", "b"), "sending: a message goes to one channel")
		return nil
	}
	kretest.Call(t, handler, wrapperspb.Bool(true)).None()
}

func TestServicesThatAreNotThereYetSaySo(t *testing.T) {
	handler := func(ctx *kre.HandlerContext, _ *anypb.Any) error {
		ctx.Measurement.Save("speed", map[string]any{"v": 1}, nil)
		require.ErrorIs(t, ctx.Prediction.SaveError("new"), kre.ErrNotThereYet)
		require.EqualError(t, ctx.DB.Save("c", 1), "kre: ctx.DB is not there yet in this version of KRE")
		_, err := ctx.ObjectStore.Get("k")
		require.EqualError(t, err, "kre: ctx.ObjectStore is not there yet in this version of KRE")
		_, err = ctx.Configuration.Get("k", kre.ScopeProject)
		require.EqualError(t, err, "kre: ctx.Configuration is not there yet in this version of KRE")
		return nil
	}
	kretest.Call(t, handler, wrapperspb.Bool(true)).None()
}

func TestADeadlineCanBeGiven(t *testing.T) {
	at := time.Now().Add(time.Hour)
	var got time.Time
	var set bool
	handler := func(ctx *kre.Context, _ *anypb.Any) error {
		got, set = ctx.Deadline()
		return nil
	}
	kretest.Call(t, kre.Handler(handler), wrapperspb.Bool(true), kretest.Deadline(at)).None()
	require.True(t, set)
	require.Equal(t, at, got)
	kretest.Call(t, kre.Handler(handler), wrapperspb.Bool(true)).None()
	require.False(t, set)
}
