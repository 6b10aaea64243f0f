package main_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc/codes"
)

// highest is the most memory that the process has had, in bytes; 0 where the system does not tell.
func (r *runtime) highest(t *testing.T) uint64 {
	t.Helper()
	content, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", r.process.Process.Pid))
	if err != nil {
		return 0
	}
	_, after, _ := strings.Cut(string(content), "VmHWM:")
	var kib uint64
	_, err = fmt.Sscanf(after, "%d kB", &kib)
	require.NoError(t, err)
	return kib << 10
}

func TestACrowdOfUploadsIsStoredOrToldToComeBackInBoundedMemory(t *testing.T) {
	r := openRuntime(t)
	_, err := r.upload(r.trusted(t), packageOf(t, "first", 1<<10))
	require.NoError(t, err)
	rest := r.highest(t)

	const callers, model = 250, 2 << 20
	content := packageOf(t, "crowd", model)
	ended := make(chan error, callers)
	for range callers {
		go func() {
			_, err := r.upload(r.trusted(t), content)
			ended <- err
		}()
	}
	stored := 0
	for range callers {
		err := <-ended
		if err == nil {
			stored++
			continue
		}
		info := detail[*errdetails.ErrorInfo](t, err, codes.ResourceExhausted)
		require.Equal(t, "ERROR_REASON_BUSY", info.GetReason(), "%v", err)
		require.Positive(t, detail[*errdetails.RetryInfo](t, err, codes.ResourceExhausted).GetRetryDelay().AsDuration())
	}
	require.Positive(t, stored)
	highest := r.highest(t)
	t.Logf("%d of %d stored; %d MiB at rest, at most %d MiB", stored, callers, rest>>20, highest>>20)
	require.LessOrEqual(t, highest-rest, uint64(256<<20))
	_, err = r.upload(r.trusted(t), packageOf(t, "afterwards", 1<<10))
	require.NoError(t, err)
}
