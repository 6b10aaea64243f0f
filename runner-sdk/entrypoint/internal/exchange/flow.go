package exchange

import (
	"encoding/json"
	"math"
	"sync"
	"time"

	"github.com/konstellation-io/kre/kit/log"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/admission"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/progress"
	"github.com/konstellation-io/kre/runner-sdk/entrypoint/internal/service"
	"github.com/konstellation-io/kre/runner-sdk/go/wire"
)

// flow is what goes through one workflow: what is on its way to its entry stream, who waits for an answer, and what became of
// those who were not answered.
type flow struct {
	order
	queue *admission.Queue

	surveying sync.Once
	surveys   *progress.Surveys

	counts struct {
		sync.Mutex
		refused, unanswered uint64
		told                time.Time // when a refusal was logged last
		since               int       // refusals since then
	}
}

// forever is how long a call may take that is not refused for the time it would take.
const forever = time.Duration(math.MaxInt64 / 4)

// tellRefusedEach is how often refusals are logged.
const tellRefusedEach = 10 * time.Second

func (x *Exchange) flow(subject string) *flow {
	f, there := x.flows.Load(subject)
	if !there {
		f, _ = x.flows.LoadOrStore(subject, &flow{queue: admission.New()})
	}
	return f.(*flow)
}

// enter lets a call in that has so much time, unless it could not be answered within that, as things go.
func (f *flow) enter(c *Call, within time.Duration) error {
	if c.rpc.Finishes {
		within = forever
	}
	request, refusal := f.queue.Enter(time.Now(), within)
	if refusal != nil {
		return c.overloaded(within, refusal)
	}
	c.queued = request
	return nil
}

// leave says that a call that was let in does not wait any more, with what error if it was not answered.
func (f *flow) leave(c *Call, err error) {
	f.queue.Leave(time.Now(), c.queued, err == nil, Reason(err) == ReasonWaitOver)
}

// tally counts the end of a call. It reports how many refusals have to be told of, 0 where this end is none or is not to be told.
func (f *flow) tally(reason string, now time.Time) (tell int) {
	f.counts.Lock()
	defer f.counts.Unlock()
	if reason == ReasonWaitOver {
		f.counts.unanswered++
	}
	if !refuses(reason) {
		return 0
	}
	f.counts.refused++
	f.counts.since++
	if now.Sub(f.counts.told) < tellRefusedEach {
		return 0
	}
	tell, f.counts.told, f.counts.since = f.counts.since, now, 0
	return tell
}

// story tells where a request is, as far as the workflow's nodes know.
func (f *flow) story(c *Call) progress.Story {
	if c.rpc.Questions == "" {
		return progress.Story{}
	}
	f.surveying.Do(func() {
		x, rpc := c.x, c.rpc
		f.surveys = progress.NewSurveys(func(requestIDs []string) []wire.Progress { return x.survey(rpc, requestIDs) })
	})
	return progress.Of(c.ID, c.rpc.Nodes, f.surveys.About(c.ID))
}

// survey asks the processes of a workflow's nodes about some requests. Every node is waited for, for a little while.
func (x *Exchange) survey(rpc *service.RPC, requestIDs []string) []wire.Progress {
	header, body := wire.Question(wire.AskProgress, requestIDs)
	var said []wire.Progress
	missing := make(map[string]bool, len(rpc.Nodes))
	for _, step := range rpc.Nodes {
		missing[step.Node] = true
	}
	err := x.broker.Survey(rpc.Questions, header, body, func(answer []byte) bool {
		var one wire.Progress
		if json.Unmarshal(answer, &one) == nil { // else it is none
			said = append(said, one)
			delete(missing, one.Node)
		}
		return len(missing) == 0
	})
	if err != nil {
		x.logger.Debug("asking where requests are", log.Error(err))
	}
	return said
}

// Load is what waits at a workflow, and what became of the calls that did not wait, or waited in vain, since the start.
type Load struct {
	Waiting    int
	Oldest     time.Duration // of those that wait
	Refused    uint64
	Unanswered uint64 // their time was over
}

// Load tells of the workflow whose requests are published on a subject.
func (x *Exchange) Load(subject string) Load {
	f := x.flow(subject)
	var l Load
	l.Waiting, l.Oldest = f.queue.Sight(time.Now())
	f.counts.Lock()
	defer f.counts.Unlock()
	l.Refused, l.Unanswered = f.counts.refused, f.counts.unanswered
	return l
}
