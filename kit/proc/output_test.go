package proc_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/proc"
)

func TestLinesAreCapturedAsTheyWerePrinted(t *testing.T) {
	tests := map[string]struct {
		script string
		want   []proc.Line
	}{
		"one by one":                       {`echo a; echo b`, []proc.Line{{Text: "a"}, {Text: "b"}}},
		"an empty one is one":              {`echo a; echo; echo b`, []proc.Line{{Text: "a"}, {}, {Text: "b"}}},
		"standard error is told apart":     {`echo a >&2`, []proc.Line{{Text: "a", Stderr: true}}},
		"the last one needs no end":        {`printf 'a\nb'`, []proc.Line{{Text: "a"}, {Text: "b"}}},
		"a long one is cut and counted":    {`echo 0123456789abc`, []proc.Line{{Text: "0123456789", Cut: 3}}},
		"a line ends with CR LF as well":   {`printf 'a\r\nb\r\n'`, []proc.Line{{Text: "a"}, {Text: "b"}}},
		"a progress bar shows its last":    {`printf '10%%\r50%%\r100%%\n'`, []proc.Line{{Text: "100%"}}},
		"a rewritten long one is not long": {`printf '0123456789abc\rb\n'`, []proc.Line{{Text: "b"}}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s, told := supervisor(t)
			spec := shell("node", test.script)
			spec.MaxLine = 10
			waitEnded(t, s.Start(spec))
			for _, want := range test.want {
				want.Name = "node"
				require.Equal(t, want, told.line(patience(t)))
			}
			told.event(patience(t), proc.Ended) // which comes after all lines
			require.Empty(t, told.lines)
		})
	}
}

func TestAnUnfinishedLineIsToldWhileTheProcessWaits(t *testing.T) {
	s, told := supervisor(t)
	s.Start(shell("node", `printf 'continue? '; sleep 1000`))
	require.Equal(t, "continue? ", told.line(patience(t)).Text)
}

func TestTheLastLinesAreKept(t *testing.T) {
	s, _ := supervisor(t)
	spec := shell("node", `i=0; while [ $i -lt 30 ]; do echo $i; i=$((i+1)); done`)
	spec.LastLines = 3
	p := s.Start(spec)
	waitEnded(t, p)
	require.Equal(t, []string{"27", "28", "29"}, p.Tail())
}

// stuck is an observer that does not return until it is let go.
type stuck struct {
	*recorder
	letGo chan struct{}
	lost  int
	heard int
}

func (s *stuck) Changed(e proc.Event) {
	<-s.letGo
	s.recorder.Changed(e)
}

func (s *stuck) Printed(l proc.Line) {
	s.lost += l.Lost
	s.heard++
}

func TestASlowObserverDoesNotHoldUpAProcessAndIsToldWhatItMissed(t *testing.T) {
	const lines = 30_000
	observer := &stuck{recorder: newRecorder(), letGo: make(chan struct{})}
	s := proc.New(proc.Options{Observer: observer})
	t.Cleanup(s.Close)
	p := s.Start(shell("chatty", `yes "`+strings.Repeat("x", 80)+`" | head -n 30000; echo last >&2`))
	waitEnded(t, p)
	close(observer.letGo)
	observer.event(patience(t), proc.Ended)
	require.Positive(t, observer.lost)
	require.Equal(t, lines+1, observer.heard+observer.lost)
	require.NoError(t, patience(t).Err())
}

func TestLongLinesThatWaitForASlowObserverAreFew(t *testing.T) {
	observer := &stuck{recorder: newRecorder(), letGo: make(chan struct{})}
	s := proc.New(proc.Options{Observer: observer})
	t.Cleanup(s.Close)
	p := s.Start(shell("chatty", `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do head -c 2000000 /dev/zero | tr '\0' x; echo; done; echo last`))
	waitEnded(t, p)
	close(observer.letGo)
	observer.event(patience(t), proc.Ended)
	require.Equal(t, 13, observer.heard+observer.lost)
	require.LessOrEqual(t, observer.heard, 6, "those that wait, and one that was being told")
	require.GreaterOrEqual(t, observer.heard, 4)
	require.Equal(t, "last", p.Tail()[len(p.Tail())-1])
	require.LessOrEqual(t, len(p.Tail()), 2)
}
