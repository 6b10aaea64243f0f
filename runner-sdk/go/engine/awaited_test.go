package engine

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAHandlersContextEndsAtTheDeadlineOfAnUnansweredCaller(t *testing.T) {
	deadline := time.Now().Add(20 * time.Millisecond)
	ctx, end := await(t.Context(), deadline, func() bool { return false })
	defer end()
	child, cancel := context.WithCancel(ctx)
	defer cancel()
	told, set := ctx.Deadline()
	require.True(t, set)
	require.Equal(t, deadline, told)
	<-ctx.Done()
	<-child.Done()
	require.False(t, time.Now().Before(deadline))
	require.Equal(t, context.DeadlineExceeded, ctx.Err())
	require.Equal(t, context.DeadlineExceeded, child.Err())
	end()
	require.Equal(t, context.DeadlineExceeded, ctx.Err(), "the first end counts")
}

func TestAHandlersContextDoesNotEndForACallerWhoWasAnswered(t *testing.T) {
	var asked atomic.Int64
	parent, stop := context.WithCancel(t.Context())
	defer stop()
	ctx, end := await(parent, time.Now().Add(-time.Second), func() bool { asked.Add(1); return true })
	defer end()
	done := ctx.Done()
	require.Eventually(t, func() bool { return asked.Load() > 0 }, time.Minute, time.Millisecond, "the deadline comes")
	_, set := ctx.Deadline()
	require.False(t, set)
	require.NoError(t, ctx.Err())
	stop()
	<-done
	require.Equal(t, context.Canceled, ctx.Err())
}

func TestAHandlersContextEndsWithTheHandler(t *testing.T) {
	ctx, end := await(t.Context(), time.Now().Add(time.Hour), func() bool { return false })
	end()
	<-ctx.Done()
	require.Equal(t, context.Canceled, ctx.Err())
}

func TestAHandlersContextHasEndedAtItsDeadlineThoughNobodyWaitedForThat(t *testing.T) {
	ctx, end := await(t.Context(), time.Now(), func() bool { return false })
	require.Equal(t, context.DeadlineExceeded, ctx.Err())
	<-ctx.Done()
	end()
	require.Equal(t, context.DeadlineExceeded, ctx.Err())
}

func TestAHandlersContextWithoutADeadlineEndsWithTheHandlerToo(t *testing.T) {
	ctx, end := await(t.Context(), time.Time{}, nil)
	_, set := ctx.Deadline()
	require.False(t, set)
	end()
	<-ctx.Done()
}
