package exchange

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap/zapcore"
	"google.golang.org/grpc/codes"
)

func TestOfManyRefusalsOneInTenSecondsIsLoggedWithTheirNumber(t *testing.T) {
	var f flow
	now := time.Unix(1000, 0)
	require.Equal(t, 1, f.tally(ReasonOverloaded, now))
	require.Zero(t, f.tally(ReasonQueueFull, now.Add(time.Second)))
	require.Zero(t, f.tally(ReasonTooManyRequests, now.Add(tellRefusedEach-1)))
	require.Zero(t, f.tally(ReasonWaitOver, now.Add(tellRefusedEach)))
	require.Zero(t, f.tally("", now.Add(tellRefusedEach)))
	require.Equal(t, 3, f.tally(ReasonOverloaded, now.Add(tellRefusedEach)))
	require.EqualValues(t, 4, f.counts.refused)
	require.EqualValues(t, 1, f.counts.unanswered)
}

func TestHowLoudACallIsLogged(t *testing.T) {
	for _, c := range []struct {
		code   codes.Code
		reason string
		told   bool
		want   zapcore.Level
	}{
		{codes.OK, "", false, zapcore.DebugLevel},
		{codes.NotFound, "NODE_FAILED", false, zapcore.InfoLevel},
		{codes.Internal, "NODE_FAILED", false, zapcore.WarnLevel},
		{codes.ResourceExhausted, "NODE_FAILED", false, zapcore.WarnLevel},
		{codes.ResourceExhausted, ReasonTooLarge, false, zapcore.WarnLevel},
		{codes.ResourceExhausted, ReasonOverloaded, false, zapcore.DebugLevel},
		{codes.ResourceExhausted, ReasonOverloaded, true, zapcore.WarnLevel},
	} {
		require.Equal(t, c.want, level(c.code, c.reason, c.told), "%v", c)
	}
}
