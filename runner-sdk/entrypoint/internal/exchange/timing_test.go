package exchange

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

func TestTheTimeOfACallIsSplit(t *testing.T) {
	begun := time.Unix(1000, 0)
	now := begun.Add(3100 * time.Microsecond)
	for name, c := range map[string]struct {
		reply wire.Reply
		want  string
	}{
		"into queue, nodes and reply": {
			wire.Reply{Timing: "etl=412,model=1870", SentAt: now.Add(-80 * time.Microsecond)},
			"total=3100;queue=738;etl=412;model=1870;reply=80",
		},
		"without nodes that told":            {wire.Reply{SentAt: now}, "total=3100;queue=3100;reply=0"},
		"without a time of sending":          {wire.Reply{Timing: "etl=100"}, "total=3100;queue=3000;etl=100;reply=0"},
		"with a sender's clock ahead":        {wire.Reply{Timing: "etl=100", SentAt: now.Add(time.Hour)}, "total=3100;queue=3000;etl=100;reply=0"},
		"with a sender's clock behind":       {wire.Reply{Timing: "etl=100", SentAt: begun.Add(-time.Hour)}, "total=3100;queue=0;etl=100;reply=3100"},
		"with nodes that worked in parallel": {wire.Reply{Timing: "a=3000,b=3000", SentAt: now}, "total=3100;queue=0;a=3000;b=3000;reply=0"},
		"with a name that holds a separator": {wire.Reply{Timing: "a;b=1", SentAt: now}, "total=3100;queue=3099;a_b=1;reply=0"},
	} {
		t.Run(name, func(t *testing.T) { require.Equal(t, c.want, timing(c.reply, begun, now)) })
	}
}
