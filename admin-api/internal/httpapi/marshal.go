package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"

	"github.com/grpc-ecosystem/grpc-gateway/v2/runtime"
	"google.golang.org/protobuf/encoding/protojson"
)

const (
	plain = "application/json"
	lines = "application/x-ndjson"
)

// marshaler is JSON as the OpenAPI document tells it: camelCase, zeros printed, absent messages left out, unknown fields
// refused.
type marshaler struct {
	runtime.JSONPb
}

func newMarshaler() *marshaler {
	return &marshaler{runtime.JSONPb{MarshalOptions: protojson.MarshalOptions{EmitDefaultValues: true}}}
}

// NewDecoder reads a body as a whole, so that nothing may follow after its value; an empty one is io.EOF, which leaves the
// message as it is.
func (m *marshaler) NewDecoder(r io.Reader) runtime.Decoder {
	return runtime.DecoderFunc(func(into any) error {
		body, err := io.ReadAll(r)
		if err != nil {
			return err
		}
		if len(bytes.TrimSpace(body)) == 0 {
			return io.EOF
		}
		if !json.Valid(body) {
			return errors.New("the body is no JSON")
		}
		return m.Unmarshal(body, into)
	})
}
