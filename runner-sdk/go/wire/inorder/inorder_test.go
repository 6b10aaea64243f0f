package inorder_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/go/wire/inorder"
)

// sent sends names, one a second.
func sent(o *inorder.Order[string], names ...string) map[string]*inorder.Place[string] {
	places := make(map[string]*inorder.Place[string])
	for _, name := range names {
		places[name] = &inorder.Place[string]{}
		o.Sent(places[name], name)
		time.Sleep(time.Second)
	}
	return places
}

func TestWhatWasSentBeforeWhatIsConfirmedIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o inorder.Order[string]
		p := sent(&o, "a", "b", "c", "d", "e")
		require.Empty(t, o.Confirmed(p["a"]))
		o.Forget(p["c"])
		require.Equal(t, []string{"b"}, o.Confirmed(p["d"]))
		require.False(t, p["b"].Under())
		require.Equal(t, 1, o.Len())
		require.Equal(t, "e", o.Oldest().What)
	})
}

func TestWhatIsNotUnderWaySaysNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o inorder.Order[string]
		p := sent(&o, "a", "b")
		o.Forget(p["b"])
		o.Forget(p["b"])
		require.Empty(t, o.Confirmed(p["b"]))
		require.Equal(t, 1, o.Len())
		require.Empty(t, o.Confirmed(&inorder.Place[string]{}))
	})
}

func TestWhatIsSentAgainIsTheLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o inorder.Order[string]
		p := sent(&o, "a", "b")
		o.Sent(p["a"], "a")
		require.Equal(t, 2, o.Len())
		require.Equal(t, time.Now(), p["a"].At)
		require.Empty(t, o.Confirmed(p["b"]))
		require.Equal(t, p["a"], o.Oldest())
		require.Empty(t, o.Confirmed(p["a"]))
		require.Nil(t, o.Oldest())
	})
}

func TestWhatWasSentBeforeATimeIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var o inorder.Order[string]
		p := sent(&o, "a", "b", "c")
		require.Empty(t, o.Before(p["a"].At))
		require.Equal(t, []string{"a", "b"}, o.Before(p["c"].At))
		require.Equal(t, []string{"c"}, o.Before(time.Now()))
		require.Empty(t, o.Before(time.Now()))
	})
}
