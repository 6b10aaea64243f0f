package e2e_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"google.golang.org/grpc/codes"

	"github.com/konstellation-io/kre/e2e/harness"
)

// onlyChain leaves one workflow, whose callers are patient: what is tested is that nothing is lost, not how fast it is.
func onlyChain(t *testing.T) func(harness.Project) {
	return func(p harness.Project) {
		chain, _, found := strings.Cut(p.Read(t, "krt.yml"), "  - name: diamond")
		require.True(t, found)
		p.Write(t, "krt.yml", chain)
		p.Replace(t, "krt.yml", "    exitpoint: third\n", "    exitpoint: third\n    timeout: 2m\n")
	}
}

func TestAKilledNodeLosesNothing(t *testing.T) {
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			v := startSteps(t, language, onlyChain(t))
			load := v.startLoad(t, 8)
			for range 3 {
				load.waitAnswers(t, 100)
				v.kill(t, "second")
			}
			load.waitAnswers(t, 100)
			require.Empty(t, load.stop())
			v.Broker(t).WaitIdle(t)
			require.Empty(t, v.Broker(t).Messages(t, "dead_"))
		})
	}
}

func TestAPoisonMessageHarmsNoOther(t *testing.T) {
	for _, language := range harness.Languages() {
		t.Run(string(language), func(t *testing.T) {
			t.Parallel()
			v := startSteps(t, language, onlyChain(t))
			client := v.GRPC(t)
			deaths := "5" // of these, the first two are not recorded
			if language == harness.Python {
				deaths = "3" // the runner sees each
			}
			// The poison is in the middle, so that good messages wait in the process that it kills.
			const good, poison = 100, 50
			problems := make([]string, good+1)
			start := make(chan struct{})
			var group sync.WaitGroup
			for i := range good + 1 {
				group.Go(func() {
					<-start
					id := fmt.Sprintf("poison-%d", i)
					if i == poison {
						_, code, message := overGRPC(client)(patience(t), "steps.Steps/Chain", fmt.Sprintf(`{"id":%q,"kill":"second"}`, id))
						if code != codes.Internal || message != "second: the process ended "+deaths+" times while it handled this message" {
							problems[i] = fmt.Sprintf("poison: %s: %s", code, message)
						}
						return
					}
					answer, code, message := overGRPC(client)(patience(t), "steps.Steps/Chain", fmt.Sprintf(`{"id":%q}`, id))
					problems[i] = judge(id, "", answer, code, message)
				})
			}
			close(start)
			group.Wait()
			require.Equal(t, make([]string, good+1), problems)

			v.Broker(t).WaitIdle(t)
			letters := v.Broker(t).Messages(t, "dead_")
			require.Len(t, letters, 1)
			require.Equal(t, deaths, letters[0].Header.Get("Kre-Attempts"))
			require.Contains(t, string(letters[0].Data), "poison-50")
			runs := v.runs(t, "poison-50")
			require.Equal(t, deaths, strconv.Itoa(len(runs)-1), "first took it once, second died of it so often: %s", runs)
		})
	}
}

// kill kills a node's process with SIGKILL and waits until another has taken its place.
func (v *version) kill(t *testing.T, node string) {
	t.Helper()
	prefix := "process " + node + " "
	var before []string
	harness.Eventually(t, node+" is killed", func() (bool, string) { // another process may just have taken its place
		before = v.record.Lines(t, prefix)
		pid, err := strconv.Atoi(strings.TrimPrefix(before[len(before)-1], prefix))
		require.NoError(t, err)
		err = syscall.Kill(pid, syscall.SIGKILL)
		return err == nil, fmt.Sprint(err)
	})
	harness.Eventually(t, node+" is restarted", func() (bool, string) {
		now := v.record.Lines(t, prefix)
		return len(now) > len(before), strings.Join(now, ", ")
	})
}

// load is a number of clients, each of which calls again when it is answered.
type load struct {
	answers  atomic.Int64
	quit     chan struct{}
	group    sync.WaitGroup
	mu       sync.Mutex
	problems []string
}

func (v *version) startLoad(t *testing.T, clients int) *load {
	t.Helper()
	l := &load{quit: make(chan struct{})}
	ctx := context.WithoutCancel(t.Context())
	client := v.GRPC(t)
	for c := range clients {
		l.group.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-l.quit:
					return
				default:
				}
				id := fmt.Sprintf("load-%d-%d", c, i)
				answer, code, message := overGRPC(client)(ctx, "steps.Steps/Chain", fmt.Sprintf(`{"id":%q}`, id))
				if problem := judge(id, "", answer, code, message); problem != "" {
					l.mu.Lock()
					l.problems = append(l.problems, problem)
					l.mu.Unlock()
				}
				l.answers.Add(1)
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// waitAnswers waits for so many more.
func (l *load) waitAnswers(t *testing.T, more int64) {
	t.Helper()
	want := l.answers.Load() + more
	harness.Eventually(t, fmt.Sprintf("%d more answers", more), func() (bool, string) {
		return l.answers.Load() >= want, fmt.Sprintf("%d of %d", l.answers.Load(), want)
	})
}

// stop lets the clients finish and returns what was wrong with their answers.
func (l *load) stop() []string {
	l.mu.Lock()
	select {
	case <-l.quit:
	default:
		close(l.quit)
	}
	l.mu.Unlock()
	l.group.Wait()
	return l.problems
}
