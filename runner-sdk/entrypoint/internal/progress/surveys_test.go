package progress_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/progress"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// asked are the questions that were asked.
type asked struct {
	mu        sync.Mutex
	questions [][]string
	takes     time.Duration
}

func (a *asked) ask(requestIDs []string) []wire.Progress {
	time.Sleep(a.takes)
	a.mu.Lock()
	defer a.mu.Unlock()
	a.questions = append(a.questions, requestIDs)
	return []wire.Progress{{Node: fmt.Sprint(len(a.questions))}}
}

func TestManyRequestsAreAskedAboutInOneQuestion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asked{takes: 10 * time.Millisecond}
		s := progress.NewSurveys(a.ask)
		var all sync.WaitGroup
		said := make([][]wire.Progress, 100)
		for i := range said {
			all.Go(func() { said[i] = s.About(fmt.Sprint(i)) })
		}
		all.Wait()
		require.LessOrEqual(t, len(a.questions), 2)
		for _, one := range said {
			require.Len(t, one, 1)
		}
	})
}

func TestNobodyIsAskedTooOften(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asked{}
		s := progress.NewSurveys(a.ask)
		for range 10 {
			require.NotEmpty(t, s.About("one"))
		}
		began := time.Now()
		for range 10 {
			require.NotEmpty(t, s.About("one"))
		}
		require.Equal(t, time.Second, time.Since(began)) // of the test's clock
	})
}

func TestWhoSaysNothingInTimeIsNotWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asked{takes: time.Minute}
		s := progress.NewSurveys(a.ask)
		began := time.Now()
		require.Empty(t, s.About("one"))
		require.Less(t, time.Since(began), time.Second) // of the test's clock
		time.Sleep(2 * time.Minute)
	})
}

func TestOneQuestionIsAboutSoManyRequestsOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &asked{}
		s := progress.NewSurveys(a.ask)
		require.NotEmpty(t, s.About("first")) // the next question has to wait
		var all sync.WaitGroup
		var mu sync.Mutex
		nothing := 0
		for i := range wire.MaxAsked + 5 {
			all.Go(func() {
				if len(s.About(fmt.Sprint(i))) == 0 {
					mu.Lock()
					defer mu.Unlock()
					nothing++
				}
			})
		}
		all.Wait()
		require.Equal(t, 5, nothing)
		require.Len(t, a.questions[1], wire.MaxAsked)
	})
}
