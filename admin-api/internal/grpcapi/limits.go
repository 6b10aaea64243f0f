package grpcapi

import (
	"github.com/konstellation-io/kre/kit/rpc"
	adminv1 "github.com/konstellation-io/kre/proto/gen/go/kre/admin/v1"
)

const (
	// MaxRequest bounds one message of those methods that take large ones: room for some configuration files of 1 MiB each.
	MaxRequest = 16 << 20
	// maxOther bounds one message of any other.
	maxOther = 1 << 20
	// maxStreamsOfOne is how many watches, followed logs and uploads may be open on one connection.
	maxStreamsOfOne = 200
)

// Bounded are options with the limits of what one call may send and how many streams one caller may open.
func Bounded(opts rpc.Options) rpc.Options {
	opts.MaxRequestBytes = maxOther
	opts.MaxRequestBytesOf = map[string]int{
		adminv1.VersionService_UpdateConfig_FullMethodName:  MaxRequest,
		adminv1.VersionService_CallVersion_FullMethodName:   MaxRequest,
		adminv1.VersionService_UploadVersion_FullMethodName: MaxRequest,
	}
	opts.MaxStreamsOfOne = maxStreamsOfOne
	return opts
}
