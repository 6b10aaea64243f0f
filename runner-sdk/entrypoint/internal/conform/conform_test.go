package conform_test

import (
	"context"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"

	"github.com/konstellation-io/kre/krt/protos"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/conform"
)

const source3 = `syntax = "proto3";
package t;
import "google/protobuf/struct.proto";
enum Colour { NONE = 0; RED = 1; }
message All {
  int32 i32 = 1; sint64 s64 = 2; bool b = 3; fixed32 f32 = 4; sfixed64 f64 = 5; float f = 6; double d = 7;
  string text = 8; bytes raw = 9; Colour colour = 10;
  repeated int32 numbers = 11; repeated float floats = 12; repeated double doubles = 13; repeated string texts = 14;
  repeated Colour colours = 15; All child = 16; repeated All children = 17;
  map<string, All> by_name = 18; map<int32, string> names = 19;
  oneof choice { string this = 20; All that = 21; }
  google.protobuf.Struct any = 22; string far = 5000; repeated bool flags = 5001;
}
`

const source2 = `syntax = "proto2";
package t;
message Old {
  optional string loose = 1; optional group Inner = 2 { optional int32 x = 1; optional string y = 2; }
  repeated int32 unpacked = 3;
}
message Strict { required int32 must = 1; optional Strict child = 2; }
`

func types(t testing.TB) map[string]protoreflect.MessageDescriptor {
	set, err := protos.Compile(context.Background(), fstest.MapFS{
		"three.proto": {Data: []byte(source3)}, "two.proto": {Data: []byte(source2)},
	}, "three.proto", "two.proto")
	require.NoError(t, err)
	found := map[string]protoreflect.MessageDescriptor{}
	for _, name := range []string{"All", "Old", "Strict"} {
		d, err := set.Files.FindDescriptorByName(protoreflect.FullName("t." + name))
		require.NoError(t, err)
		found[name] = d.(protoreflect.MessageDescriptor)
	}
	return found
}

func encoded(t testing.TB, descriptor protoreflect.MessageDescriptor, json string) []byte {
	message := dynamicpb.NewMessage(descriptor)
	require.NoError(t, protojson.Unmarshal([]byte(json), message))
	payload, err := proto.Marshal(message)
	require.NoError(t, err)
	return payload
}

const everything = `{"i32":-1,"s64":"-5","b":true,"f32":7,"f64":"8","f":1.5,"d":2.5,"text":"größe","raw":"AAE=","colour":"RED",
 "numbers":[1,2,300],"floats":[1,2],"doubles":[3],"texts":["a","b"],"colours":["RED"],"child":{"text":"x","child":{"i32":4}},
 "children":[{},{"b":true}],"byName":{"one":{"text":"y"}},"names":{"3":"three"},"that":{"far":"z"},
 "any":{"k":[1,"two",{"three":null}]},"far":"away","flags":[true,false]}`

func TestAcceptsWhatItsTypeEncodes(t *testing.T) {
	all := types(t)
	require.NoError(t, conform.New(all["All"]).Check(encoded(t, all["All"], everything)))
	require.NoError(t, conform.New(all["All"]).Check(nil))
	require.NoError(t, conform.New(all["Old"]).Check(encoded(t, all["Old"], `{"loose":"x","Inner":{"x":1,"y":"z"},"unpacked":[1,2]}`)))
	require.NoError(t, conform.New(all["Strict"]).Check(encoded(t, all["Strict"], `{"must":1,"child":{"must":2}}`)))
}

func TestRefusesWhatIsNotOfItsTypeAndNamesTheType(t *testing.T) {
	all := types(t)
	for name, c := range map[string]struct {
		of      string
		payload []byte
	}{
		"cut short":                  {"All", []byte{0x42, 0x05, 'a'}},
		"text that is not UTF-8":     {"All", []byte{0x42, 0x01, 0xff}},
		"a child cut short":          {"All", []byte{0x82, 0x01, 0x02, 0x42, 0x05}},
		"text of a child not UTF-8":  {"All", []byte{0x82, 0x01, 0x03, 0x42, 0x01, 0xff}},
		"packed numbers cut short":   {"All", []byte{0x5a, 0x01, 0x80}},
		"packed floats cut short":    {"All", []byte{0x62, 0x03, 1, 2, 3}},
		"packed doubles cut short":   {"All", []byte{0x6a, 0x04, 1, 2, 3, 4}},
		"an entry of a map cut":      {"All", []byte{0x92, 0x01, 0x02, 0x0a, 0x05}},
		"field number nought":        {"All", []byte{0x00, 0x01}},
		"wire type that is none":     {"All", []byte{0x0f, 0x01}},
		"plain text":                 {"All", []byte("hello there")},
		"a group that does not end":  {"Old", []byte{0x13, 0x08, 0x01}},
		"a required field not there": {"Strict", nil},
	} {
		t.Run(name, func(t *testing.T) {
			require.ErrorContains(t, conform.New(all[c.of]).Check(c.payload), "the bytes are not a t."+c.of)
		})
	}
}

func TestAFieldOfAnotherWireTypeIsAnUnknownField(t *testing.T) {
	require.NoError(t, conform.New(types(t)["All"]).Check([]byte{0x40, 0x01}), "number where text is meant")
}

func TestBytesThatMakeProtobufPanicAreRefusedWhereTheyAreDecoded(t *testing.T) {
	// An entry of the map, with a key, and then the key's number with another wire type.
	payload := []byte{0x92, 0x01, 0x05, 0x0a, 0x01, 'k', 0x08, 0x01}
	_, err := conform.Decode(payload, types(t)["All"], nil)
	require.ErrorContains(t, err, "the bytes cannot be decoded")
	require.NoError(t, conform.New(types(t)["All"]).Check(payload), "other languages read it")
}

func FuzzAgreesWithProtobuf(f *testing.F) {
	all := types(f)
	f.Add(encoded(f, all["All"], everything))
	f.Add(encoded(f, all["Old"], `{"loose":"x","Inner":{"x":1},"unpacked":[1,2]}`))
	f.Add(encoded(f, all["Strict"], `{"must":1,"child":{"must":2}}`))
	f.Add([]byte("hello there"))
	checkers := map[string]*conform.Checker{}
	for name, d := range all {
		checkers[name] = conform.New(d)
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		for name, d := range all {
			_, want := conform.Decode(payload, d, nil)
			got := checkers[name].Check(payload)
			if want != nil && strings.Contains(want.Error(), "the bytes cannot be decoded") {
				continue // protobuf has no answer; that we do not panic is what counts
			}
			require.Equal(t, want == nil, got == nil, "%s: protobuf says %v, we say %v", name, want, got)
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	descriptor := types(b)["All"]
	small := encoded(b, descriptor, `{"i32":-1,"text":"hello","d":1.5,"child":{"text":"x"}}`)
	large := encoded(b, descriptor, everything)
	checker := conform.New(descriptor)
	for name, payload := range map[string][]byte{"small": small, "large": large} {
		b.Run(name+"/conform", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, checker.Check(payload))
			}
		})
		b.Run(name+"/dynamicpb", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				require.NoError(b, proto.Unmarshal(payload, dynamicpb.NewMessage(descriptor)))
			}
		})
	}
}
