package rpc_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/kit/rpc"
)

func open(t *testing.T, f *fixture) *rpc.Local {
	t.Helper()
	local, err := f.server.Local()
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, local.Close()) })
	return local
}

func TestACallWithinTheProcessIsLikeAnyOther(t *testing.T) {
	var seen metadata.MD
	f := serve(t, rpc.Options{Token: "secret"}, func(ctx context.Context) error {
		seen, _ = metadata.FromIncomingContext(ctx)
		_, limited := ctx.Deadline()
		require.True(t, limited)
		outgoing, _ := metadata.FromOutgoingContext(ctx)
		require.Empty(t, outgoing, "what the caller sent would go on to other services")
		return nil
	})
	local := open(t, f)
	require.Equal(t, codes.Unauthenticated, status.Code(local.Invoke(t.Context(), doMethod, new(emptypb.Empty), new(emptypb.Empty))))
	require.Nil(t, seen)

	var header metadata.MD
	ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer secret", "colour", "red")
	require.NoError(t, local.Invoke(ctx, doMethod, new(emptypb.Empty), new(emptypb.Empty), grpc.Header(&header)))
	require.Equal(t, []string{"red"}, seen.Get("colour"))
	require.Len(t, header.Get(rpc.RequestIDKey), 1)
	require.Contains(t, f.log.String(), header.Get(rpc.RequestIDKey)[0])
}

func TestACallWithinTheProcessAnswersErrorsAsStatuses(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error { return fault.New(fault.NotFound, "no such thing") })
	local := open(t, f)
	got := status.Convert(local.Invoke(t.Context(), doMethod, new(emptypb.Empty), new(emptypb.Empty)))
	require.Equal(t, codes.NotFound, got.Code())
	require.Equal(t, "no such thing", got.Message())
	require.Equal(t, codes.Unimplemented, status.Code(local.Invoke(t.Context(), "/test.Service/Other", new(emptypb.Empty), new(emptypb.Empty))))
}

func TestStreamsWithinTheProcess(t *testing.T) {
	f := serve(t, rpc.Options{}, func(context.Context) error { return nil })
	stream, err := open(t, f).NewStream(t.Context(), &grpc.StreamDesc{ServerStreams: true}, watchMethod)
	require.NoError(t, err)
	require.NoError(t, stream.CloseSend())
	require.ErrorIs(t, stream.RecvMsg(new(emptypb.Empty)), io.EOF)
}

func TestAServerMayTellErrorsInItsOwnWay(t *testing.T) {
	f := serve(t, rpc.Options{Status: func(err error, requestID string) *status.Status {
		if err == nil {
			return rpc.Status(nil, requestID)
		}
		return status.New(codes.DataLoss, err.Error())
	}}, func(context.Context) error { return errors.New("on its way") })
	got := status.Convert(f.Invoke(t.Context(), doMethod, new(emptypb.Empty), new(emptypb.Empty)))
	require.Equal(t, codes.DataLoss, got.Code())
	require.Equal(t, "on its way", got.Message())
}
