package plan_test

import (
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/krt/manifest"
	"github.com/konstellation-io/kre/krt/plan"
)

var update = flag.Bool("update", false, "write the golden files instead of comparing with them")

func load(t *testing.T, name string) *plan.Plan {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name+".yml"))
	require.NoError(t, err)
	m, problems := manifest.Parse(name, data)
	require.NoError(t, problems.Err())
	return plan.New(m)
}

func cases() []string {
	return []string{"published-v1", "published-v2", "diamond", "fan-out", "finish"}
}

func TestPlansAreAsTheyWere(t *testing.T) {
	for _, name := range cases() {
		t.Run(name, func(t *testing.T) {
			got, err := json.MarshalIndent(load(t, name), "", "  ")
			require.NoError(t, err)
			golden := filepath.Join("testdata", name+".json")
			if *update {
				require.NoError(t, os.WriteFile(golden, append(got, '\n'), 0o644))
			}
			want, err := os.ReadFile(golden)
			require.NoError(t, err)
			require.Equal(t, string(want), string(got)+"\n")
		})
	}
}

func TestThePlanOfAManifestIsAlwaysTheSame(t *testing.T) {
	for _, name := range cases() {
		first := load(t, name)
		for range 20 {
			require.Equal(t, first, load(t, name))
		}
	}
}

// The rest are rules that hold in every plan, whatever its golden file says.

func TestEverySubjectBelongsToOneStream(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		var all []string
		for _, s := range p.Streams {
			all = append(all, s.Subjects...)
		}
		for i, a := range all {
			for _, b := range all[i+1:] {
				require.False(t, overlap(a, b), "%s and %s", a, b)
			}
		}
	})
}

func TestEveryConsumerIsOnAStreamThatHoldsItsSubjects(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		seen := map[plan.Source]bool{}
		for _, c := range p.Consumers {
			at := plan.Source{Stream: c.Stream, Consumer: c.Name}
			require.False(t, seen[at], "%v twice", at)
			seen[at] = true
			stream := find(t, p, c.Stream)
			require.NotEmpty(t, c.Filters)
			for i, filter := range c.Filters {
				require.True(t, holds(stream, filter), "%s in %s", filter, c.Stream)
				for _, other := range c.Filters[i+1:] {
					require.False(t, overlap(filter, other), "the broker refuses filters that overlap: %s, %s", filter, other)
				}
			}
		}
	})
}

func TestEveryStreamThatPushesBackHasAConsumer(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		for _, s := range p.Streams {
			consumed := false
			for _, c := range p.Consumers {
				consumed = consumed || c.Stream == s.Name
			}
			require.Equal(t, s.Retention == plan.Interest, consumed, s.Name)
			require.Equal(t, s.Retention == plan.Interest, s.DiscardNew, s.Name)
		}
	})
}

func TestWhatANodeStoresReachesASubscriber(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		for _, n := range p.Nodes {
			if n.Output == nil {
				continue
			}
			subjects := []string{n.Output.Error}
			for _, subject := range n.Output.Channels {
				subjects = append(subjects, subject)
			}
			for _, subject := range n.Output.Early {
				subjects = append(subjects, subject)
			}
			for _, subject := range subjects {
				require.NotEmpty(t, receivers(p, subject), subject)
				require.True(t, holds(find(t, p, n.Output.Stream), subject), subject)
			}
		}
	})
}

func TestOnlyItsOwnNodeTakesParcels(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		for _, n := range p.Nodes {
			require.Equal(t, n.Output == nil, n.Parcels == nil, n.Node)
			if n.Parcels == nil {
				continue
			}
			require.Equal(t, n.Output.Stream, n.Parcels.Stream)
			require.Zero(t, find(t, p, n.Parcels.Stream).MaxMsgs, "parcels that wait must leave room for what is in them")
			require.Positive(t, find(t, p, n.Parcels.Stream).MaxEach)
			for _, subject := range []string{n.Parcels.Subject, n.Parcels.Part, n.Parcels.Last} {
				require.Equal(t, []string{n.Parcels.Consumer}, receivers(p, subject))
			}
			require.NotContains(t, n.Sources, n.Parcels.Source)
		}
	})
}

func TestEveryNodeCanBeSentAMessageAgainAndNobodyElseGetsIt(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		for _, n := range p.Nodes {
			subject := "kre." + n.Version + "." + n.Workflow + ".to." + n.ID
			require.Equal(t, []string{n.ID}, receivers(p, subject))
		}
	})
}

func TestDeadLettersHaveAPlace(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		for _, n := range p.Nodes {
			require.True(t, holds(find(t, p, n.DeadLetters.Stream), n.DeadLetters.Subject))
			require.Equal(t, p.Buckets[0].Name, n.Starts)
		}
	})
}

func TestTheEntrypointWaitsForEveryConsumer(t *testing.T) {
	eachCase(t, func(t *testing.T, p *plan.Plan) {
		var awaited, made, bound []plan.Source
		for _, target := range p.Entrypoint.Workflows {
			awaited = append(awaited, target.Consumers...)
			require.True(t, holds(find(t, p, target.Stream), target.Subject))
			require.NotEmpty(t, receivers(p, target.Subject))
		}
		for _, c := range p.Consumers {
			made = append(made, plan.Source{Stream: c.Stream, Consumer: c.Name})
		}
		for _, n := range p.Nodes {
			bound = append(bound, n.Sources...)
			if n.Parcels != nil {
				bound = append(bound, n.Parcels.Source)
			}
		}
		require.Equal(t, made, awaited)
		require.Equal(t, made, bound)
	})
}

func TestWhoGetsWhatInTheDiamond(t *testing.T) {
	p := load(t, "diamond")
	from := "kre.diamond-v1.both.from."
	tests := []struct {
		rule    string
		subject string
		want    []string
	}{
		{"a request goes to the subscribers of the entrypoint", "kre.diamond-v1.both.entry", []string{"etl"}},
		{"the default channel goes to its subscribers only", from + "etl.out", []string{"left", "output"}},
		{"so does another channel", from + "etl.ch.large", []string{"right", "output"}},
		{"an error goes once to each subscriber of any channel", from + "etl.error", []string{"left", "right", "output"}},
		{"an early message goes to the exitpoint only", from + "etl.early", []string{"output"}},
		{"an early message to a channel too", from + "etl.early.ch.large", []string{"output"}},
	}
	for _, test := range tests {
		t.Run(test.rule, func(t *testing.T) {
			require.Equal(t, test.want, receivers(p, test.subject))
		})
	}
}

func TestOnPathIsFromWhereTheExitpointCanBeReached(t *testing.T) {
	onPath := func(p *plan.Plan) (names []string) {
		for _, n := range p.Nodes {
			if n.OnPath {
				names = append(names, n.Node)
			}
		}
		return names
	}
	require.Equal(t, []string{"etl", "answer"}, onPath(load(t, "fan-out")))
	require.Equal(t, []string{"etl", "left", "right", "output"}, onPath(load(t, "diamond")))
	require.Equal(t, []string{"etl", "email-classificator", "stats-storer", "exitpoint"}, onPath(load(t, "published-v2")))
}

func eachCase(t *testing.T, check func(*testing.T, *plan.Plan)) {
	for _, name := range cases() {
		t.Run(name, func(t *testing.T) { check(t, load(t, name)) })
	}
}

func find(t *testing.T, p *plan.Plan, name string) plan.Stream {
	t.Helper()
	for _, s := range p.Streams {
		if s.Name == name {
			return s
		}
	}
	require.Fail(t, "no stream "+name)
	return plan.Stream{}
}

// receivers are the consumers, by name, that get what is published on subject.
func receivers(p *plan.Plan, subject string) []string {
	var names []string
	for _, c := range p.Consumers {
		for _, filter := range c.Filters {
			if overlap(filter, subject) {
				names = append(names, c.Name)
			}
		}
	}
	return names
}

func holds(s plan.Stream, subject string) bool {
	for _, each := range s.Subjects {
		if overlap(each, subject) {
			return true
		}
	}
	return false
}

// overlap reports whether a subject can match both patterns, as the broker understands them.
func overlap(a, b string) bool {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := 0; ; i++ {
		switch {
		case i == len(as) || i == len(bs):
			return len(as) == len(bs)
		case as[i] == ">" || bs[i] == ">":
			return true
		case as[i] != bs[i] && as[i] != "*" && bs[i] != "*":
			return false
		}
	}
}
