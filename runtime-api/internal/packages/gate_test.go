package packages_test

import (
	"bytes"
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/runtime-api/internal/packages"
)

// requireBusy checks that an upload was told to come back.
func requireBusy(t *testing.T, err error) {
	t.Helper()
	var wrong *fault.Error
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, fault.Exhausted, wrong.Kind, "%v", err)
	require.Equal(t, "ERROR_REASON_BUSY", wrong.Reason)
	require.Positive(t, wrong.RetryAfter)
	require.ErrorContains(t, err, "send the package again in a moment")
}

func TestOfVeryManyUploadsAtOnceEachIsStoredOrToldToComeBack(t *testing.T) {
	s := open(t)
	const callers = 250
	peak := watchHeap(t)
	ended := make(chan error, callers)
	for i := range callers {
		content := krt(t, prices(fmt.Sprintf("prices-v%d", i))...)
		go func() {
			_, err := s.Upload(context.Background(), content, nothing)
			ended <- err
		}()
	}
	stored := 0
	for range callers {
		if err := <-ended; err != nil {
			requireBusy(t, err)
		} else {
			stored++
		}
	}
	require.GreaterOrEqual(t, stored, 4+64, "those that go on, and those that wait")
	require.Less(t, peak(), uint64(dear))
	s.mustUpload(t, krt(t, prices("afterwards")...))
}

func TestUploadsThatStandStillDoNotKeepOutTheOthers(t *testing.T) {
	s := openWith(t, packages.Options{Uploads: 2, Standstill: 50 * time.Millisecond})
	gone := make(chan error)
	ended := make(chan error, 2)
	for range cap(ended) {
		reached := make(chan struct{})
		go func() {
			_, err := s.Upload(context.Background(), &cutting{Reader: bytes.NewReader(nil), reached: reached, goOn: gone}, nothing)
			ended <- err
		}()
		<-reached
	}
	s.mustUpload(t, krt(t, prices("prices-v1")...))
	requireBusy(t, <-ended)
	s.mustUpload(t, krt(t, prices("prices-v2")...))
	close(gone)
	require.Error(t, <-ended, "whether it was ended or has come to its end")
}

func TestWhoWaitsForTooLongOrCannotWaitIsToldToComeBack(t *testing.T) {
	s := openWith(t, packages.Options{Uploads: 1, Waiting: 1, Patience: 50 * time.Millisecond})
	gone, reached, ended := make(chan error), make(chan struct{}), make(chan error, 1)
	go func() {
		_, err := s.Upload(context.Background(), &cutting{Reader: bytes.NewReader(nil), reached: reached, goOn: gone}, nothing)
		ended <- err
	}()
	<-reached
	_, err := s.Upload(t.Context(), krt(t, prices("prices-v1")...), nothing)
	requireBusy(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = s.Upload(ctx, krt(t, prices("prices-v1")...), nothing)
	require.Error(t, err)
	close(gone)
	require.Error(t, <-ended)
	require.Empty(t, s.keys(t))
	s.mustUpload(t, krt(t, prices("prices-v1")...))
}
