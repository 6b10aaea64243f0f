package run

import (
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/konstellation-io/kre/krt/protos"
)

func TestTheSampleIsAMessageThatTheRPCTakes(t *testing.T) {
	tests := map[string]struct{ fields, want string }{
		"plain fields":      {`string name = 1; int64 count = 2; double x = 3; bool on = 4; bytes raw = 5;`, `{"name": "text", "count": 1, "x": 1, "on": true, "raw": "AAE="}`},
		"lists and maps":    {`repeated string names = 1; map<string, int32> counts = 2; map<bool, Inner> inner = 3;`, `{"names": ["text"], "counts": {"key": 1}, "inner": {"true": {"colour": "RED"}}}`},
		"messages":          {`Inner inner = 1;`, `{"inner": {"colour": "RED"}}`},
		"none in itself":    {`Message again = 1; repeated Message more = 2; string name = 3;`, `{"name": "text"}`},
		"one of several":    {`oneof kind { string a = 1; string b = 2; } string c = 3;`, `{"a": "text", "c": "text"}`},
		"optional":          {`optional string a = 1;`, `{"a": "text"}`},
		"well-known types":  {`google.protobuf.Timestamp at = 1; google.protobuf.Duration for = 2; google.protobuf.Struct any = 3; google.protobuf.Int32Value n = 4;`, `{"at": "2026-01-31T12:00:00Z", "for": "1.5s", "any": {}, "n": 1}`},
		"names as in JSON":  {`string first_name = 1;`, `{"firstName": "text"}`},
		"nothing to put in": {``, `{}`},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			source := `syntax = "proto3"; package p;
import "google/protobuf/duration.proto"; import "google/protobuf/struct.proto";
import "google/protobuf/timestamp.proto"; import "google/protobuf/wrappers.proto";
message Message { ` + test.fields + ` }
message Inner { Colour colour = 1; }
enum Colour { NONE = 0; RED = 1; }`
			set, err := protos.Compile(t.Context(), fstest.MapFS{"p.proto": {Data: []byte(source)}}, "p.proto")
			require.NoError(t, err)
			message := set.Main.Messages().ByName("Message")
			got := sample(message, nil)
			require.Equal(t, test.want, got)
			require.NoError(t, protojson.Unmarshal([]byte(got), dynamicpb.NewMessage(message)))
		})
	}
}
