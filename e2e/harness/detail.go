package harness

import (
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// Detail is the first detail of its type that the error of a call carries, nil where it carries none. Its getters may be called
// all the same.
func Detail[D proto.Message](err error) (none D) {
	for _, detail := range status.Convert(err).Details() {
		if found, ok := detail.(D); ok {
			return found
		}
	}
	return none
}
