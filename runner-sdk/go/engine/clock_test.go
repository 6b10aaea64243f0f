package engine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestTheBrokersClockIsKnownByWhatArrivedTheSoonest(t *testing.T) {
	var c clock
	broker, own := time.Unix(5000, 0), time.Now()
	require.Equal(t, broker, c.own(broker), "nothing is known")
	at := func(since, late time.Duration) {
		c.set(broker.Add(since), own.Add(since+late))
	}
	at(0, 80*time.Millisecond)
	require.Equal(t, own.Add(time.Second+80*time.Millisecond), c.own(broker.Add(time.Second)))
	at(time.Second, 5*time.Millisecond)
	require.Equal(t, own.Add(5*time.Millisecond), c.own(broker))
	at(2*time.Second, 300*time.Millisecond)
	require.Equal(t, own.Add(5*time.Millisecond), c.own(broker), "the later one came late")
	c.set(time.Time{}, own)
	for i := range maxLooks {
		at(time.Duration(3+i)*time.Second, 20*time.Millisecond)
	}
	require.Equal(t, own.Add(20*time.Millisecond), c.own(broker), "what is long ago is forgotten: clocks drift")
}
