package grpcapi

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"strings"

	"google.golang.org/grpc/metadata"

	"github.com/konstellation-io/kre/admin-api/internal/engine"
	"github.com/konstellation-io/kre/kit/fault"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

// administrator is the identity that the administrator's token stands for.
const administrator = "admin"

// Administrator lets those in who send the administrator's token, and tells the engine who they are. It is the one place that
// knows who may call.
func Administrator(token string) func(ctx context.Context, method string) (context.Context, error) {
	want := sha256.Sum256([]byte(token))
	return func(ctx context.Context, _ string) (context.Context, error) {
		for _, given := range metadata.ValueFromIncomingContext(ctx, "authorization") {
			scheme, credential, _ := strings.Cut(given, " ")
			got := sha256.Sum256([]byte(strings.TrimSpace(credential)))
			if strings.EqualFold(scheme, "bearer") && subtle.ConstantTimeCompare(want[:], got[:]) == 1 {
				return engine.WithActor(ctx, administrator), nil
			}
		}
		return nil, fault.New(fault.Unauthenticated, "the call needs the administrator's token, as `Authorization: Bearer …` "+
			"(gRPC: metadata `authorization`); `kre up` leaves it in secrets/admin.token of its data directory").
			For(adminv1.ErrorReason_ERROR_REASON_UNAUTHENTICATED.String())
	}
}
