package log_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/log"
)

func TestOfLinesThatAnybodyCanCauseThereAreFew(t *testing.T) {
	seldom, began, told := log.NewSeldom(), time.Now(), 0
	for range 10_000 {
		if _, tell := seldom.Fields(nil); tell {
			told++
		}
	}
	require.LessOrEqual(t, told, 10*(int(time.Since(began)/time.Second)+1))
	require.Eventually(t, func() bool {
		fields, tell := seldom.Fields(nil)
		return tell && len(fields) == 1 && fields[0].Key == "left_out_before"
	}, time.Minute, 10*time.Millisecond, "the next one tells how many were not written")
}

func TestATextThatACallerChoseIsCut(t *testing.T) {
	require.Equal(t, "short", log.Cut("short"))
	require.Equal(t, strings.Repeat("x", 200)+"… and 800 bytes more", log.Cut(strings.Repeat("x", 1000)))
}
