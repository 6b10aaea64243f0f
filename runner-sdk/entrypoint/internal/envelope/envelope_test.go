package envelope_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/envelope"
)

func TestAWrappedPayloadIsAnAnyLikeAnyOther(t *testing.T) {
	for name, text := range map[string]string{"empty": "", "short": "x", "long": string(make([]byte, 100_000))} {
		t.Run(name, func(t *testing.T) {
			message := wrapperspb.String(text)
			payload, err := proto.Marshal(message)
			require.NoError(t, err)

			body, place := envelope.NewType("google.protobuf.StringValue").Wrap(len(payload))
			copy(place, payload)

			var wrapped anypb.Any
			require.NoError(t, proto.Unmarshal(body, &wrapped))
			opened, err := wrapped.UnmarshalNew()
			require.NoError(t, err)
			require.True(t, proto.Equal(message, opened))
		})
	}
}

func TestRefusesABodyThatIsNoAny(t *testing.T) {
	for name, body := range map[string][]byte{
		"empty":          nil,
		"cut short":      {0x0a, 0x05, 'a'},
		"no tag":         {0xff},
		"without a type": {0x12, 0x01, 0x00},
		"open group":     {0x1b},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := envelope.Open(body)
			require.Error(t, err)
		})
	}
}

func FuzzOpenAgreesWithProtobuf(f *testing.F) {
	seed, err := proto.Marshal(&anypb.Any{TypeUrl: "type.googleapis.com/a.B", Value: []byte("payload")})
	require.NoError(f, err)
	f.Add(seed)
	f.Add(append(seed, seed...))
	f.Add([]byte{0x08, 0x01, 0x0a, 0x03, 'x', '/', 'y'})
	f.Fuzz(func(t *testing.T, body []byte) {
		var want anypb.Any
		wantErr := proto.Unmarshal(body, &want)
		name, payload, err := envelope.Open(body)
		if wantErr != nil {
			return // ours is not stricter about the text of the URL, which no rpc's type equals then
		}
		if want.MessageName() == "" {
			return
		}
		require.NoError(t, err)
		require.Equal(t, want.MessageName(), name)
		require.Equal(t, string(want.GetValue()), string(payload))
	})
}
