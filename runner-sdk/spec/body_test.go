package spec_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// body returns the body that in asks for.
func (in input) body(t *testing.T, requestID string) []byte {
	t.Helper()
	switch {
	case in.Garbage != "":
		return []byte(in.Garbage)
	case in.Error != "":
		body, err := failureAtETL(requestID, in.Error).Body()
		require.NoError(t, err)
		return body
	case in.Text != nil:
		return pack(t, wrapperspb.String(*in.Text))
	case in.Bool != nil:
		return pack(t, wrapperspb.Bool(*in.Bool))
	default:
		return steps(t, in.Steps...)
	}
}

func failureAtETL(requestID, text string) wire.Failure {
	return wire.Failure{Node: "etl", Workflow: "flow", RequestID: requestID, MessageID: "5f0c", Attempts: 2, Text: text}
}

// steps is the body of an ordinary message to the untyped node.
func steps(t *testing.T, all ...any) []byte {
	t.Helper()
	fields, err := structpb.NewStruct(map[string]any{"steps": all})
	require.NoError(t, err)
	return pack(t, fields)
}

func pack(t *testing.T, message proto.Message) []byte {
	t.Helper()
	wrapped, err := anypb.New(message)
	require.NoError(t, err)
	data, err := proto.Marshal(wrapped)
	require.NoError(t, err)
	return data
}

func textOf(t *testing.T, body []byte) string {
	t.Helper()
	var wrapped anypb.Any
	require.NoError(t, proto.Unmarshal(body, &wrapped))
	var text wrapperspb.StringValue
	require.NoError(t, wrapped.UnmarshalTo(&text))
	return text.GetValue()
}
