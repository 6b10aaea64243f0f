package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/conform"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
)

// converter turns payloads of one rpc into bodies, and answers into JSON.
type converter struct {
	rpc      *service.RPC
	resolver *service.Resolver
}

func (c converter) fromProto(data []byte) ([]byte, error) {
	if err := c.rpc.Requests.Check(data); err != nil {
		return nil, err
	}
	body, payload := c.rpc.Envelope.Wrap(len(data))
	copy(payload, data)
	return body, nil
}

func (c converter) fromJSON(data []byte) ([]byte, error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil, errors.New("the body is empty; want a JSON object, such as {}")
	}
	m := dynamicpb.NewMessage(c.rpc.Input)
	if err := (protojson.UnmarshalOptions{Resolver: c.resolver}).Unmarshal(data, m); err != nil {
		return nil, explain(data, err)
	}
	body, payload := c.rpc.Envelope.Wrap(proto.Size(m))
	if _, err := (proto.MarshalOptions{UseCachedSize: true}).MarshalAppend(payload[:0], m); err != nil {
		return nil, fmt.Errorf("writing a %s: %w", c.rpc.Input.FullName(), err)
	}
	return body, nil
}

// toJSON keeps the field names of the proto and prints zero values.
func (c converter) toJSON(payload []byte) ([]byte, error) {
	m, err := conform.Decode(payload, c.rpc.Output, c.resolver)
	if err != nil {
		return nil, err
	}
	text, err := protojson.MarshalOptions{UseProtoNames: true, EmitDefaultValues: true, Resolver: c.resolver}.Marshal(m)
	if err != nil {
		return nil, plain(err)
	}
	var compact bytes.Buffer // protojson varies its blanks from build to build
	compact.Grow(len(text))
	if err := json.Compact(&compact, text); err != nil {
		return nil, fmt.Errorf("writing JSON: %w", err)
	}
	return compact.Bytes(), nil
}

// explain says what is wrong with JSON and at which field.
func explain(data []byte, err error) error {
	err = plain(err)
	if path := pathOf(data, err.Error()); path != "" {
		return fmt.Errorf("field %s: %w", path, err)
	}
	return err
}

// plain takes the trimmings off an error of the protobuf module, which vary from build to build.
func plain(err error) error {
	text := strings.ReplaceAll(err.Error(), "\u00a0", " ")
	return errors.New(strings.TrimPrefix(text, "proto: "))
}
