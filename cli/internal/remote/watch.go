package remote

import (
	"context"
	"errors"
	"io"

	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// Watch calls see with what changes in a runtime, a snapshot first, until it is over or fails. A stream that breaks is
// taken up again behind the last change; tell hears of it.
func (e *Engine) Watch(ctx context.Context, runtime string, tell func(format string, args ...any), see func(*adminv1.WatchRuntimeResponse) (over bool, err error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tried := "watch runtime " + Last(runtime)
	revision := int64(0)
	return Until(ctx, tell, func() (bool, error) {
		stream, err := e.Runtimes.WatchRuntime(ctx, &adminv1.WatchRuntimeRequest{Name: runtime, AfterRevision: revision})
		if err != nil {
			return false, e.Explain(tried, err)
		}
		for {
			event, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return false, nil
			}
			if err != nil {
				return false, e.Explain(tried, err)
			}
			revision = event.GetRevision()
			if over, err := see(event); over || err != nil {
				return over, err
			}
		}
	})
}
