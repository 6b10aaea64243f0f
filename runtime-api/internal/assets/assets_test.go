package assets_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/kit/fault"
	"github.com/konstellation-io/kre/krt/plan"
	"github.com/konstellation-io/kre/runtime-api/internal/assets"
)

// notes is a broker that only takes notes. What a real one does is tested in package broker.
type notes struct {
	applied []*plan.Plan
	removed []string

	released []string
	err      error
	held     chan struct{} // when set, Apply waits until it is closed
	entered  chan struct{} // told that Apply is at work
}

func (n *notes) Apply(_ context.Context, p *plan.Plan, keys assets.Keys) (string, error) {
	if n.held != nil {
		n.entered <- struct{}{}
		<-n.held
	}
	n.applied = append(n.applied, p)
	if keys == (assets.Keys{}) {
		return "", n.err
	}
	return "of " + p.Version + " with " + keys.Account + " and " + keys.User, n.err
}

func (n *notes) Release(_ context.Context, version string) error {
	n.released = append(n.released, version)
	return n.err
}

func (n *notes) Remove(_ context.Context, version string) (int, error) {
	n.removed = append(n.removed, version)
	return 3, n.err
}

func (n *notes) Count(context.Context, string) (assets.Messages, error) {
	return assets.Messages{Stored: 2, Dead: 1}, n.err
}

func (n *notes) Discard(context.Context, string) (int64, error) { return 2, n.err }

func (n *notes) Command(_ context.Context, version, command string) ([]assets.Report, error) {
	return []assets.Report{{Instance: version + " " + command}}, n.err
}

const manifestV2 = `krtVersion: v2
version: prices-v1
entrypoint: {proto: public_input.proto}
config: {variables: [CURRENCY], files: [RATES]}
workflows:
  - name: patient
    entrypoint: Patient
    exitpoint: etl
    maxAttempts: 7
    timeout: 5s
    nodes: [{name: etl, image: none, src: src/etl/main.py, subscriptions: [entrypoint]}]
  - name: usual
    entrypoint: Usual
    exitpoint: etl
    nodes: [{name: etl, image: none, src: bin/etl, subscriptions: [entrypoint]}]
`

const manifestV1 = `version: 1.0.3
nodes: [{name: model_etl, image: none}]
workflows: [{name: make_prediction, sequential: [model_etl]}]
`

func prepare(t *testing.T, request assets.Request) *assets.Prepared {
	t.Helper()
	prepared, err := assets.NewService(&notes{}, assets.Options{}).Prepare(t.Context(), request)
	require.NoError(t, err)
	return prepared
}

func fields(t *testing.T, request assets.Request) []fault.Field {
	t.Helper()
	broker := &notes{}
	_, err := assets.NewService(broker, assets.Options{}).Prepare(t.Context(), request)
	var wrong *fault.Error
	require.ErrorAs(t, err, &wrong)
	require.Equal(t, fault.Invalid, wrong.Kind)
	require.Empty(t, broker.applied, "nothing is created for a wrong manifest")
	return wrong.Fields
}

func TestThePlanOfTheManifestIsApplied(t *testing.T) {
	broker := &notes{}
	prepared, err := assets.NewService(broker, assets.Options{}).Prepare(t.Context(), assets.Request{Content: []byte(manifestV2)})
	require.NoError(t, err)
	require.Equal(t, []*plan.Plan{prepared.Plan}, broker.applied)
	require.Equal(t, plan.New(prepared.Manifest), prepared.Plan)
}

func TestOverridesTakeThePlaceOfTheManifest(t *testing.T) {
	tests := []struct {
		name      string
		overrides assets.Overrides
		attempts  [2]int // of a workflow that says so itself, and of one that does not
		timeoutMs [2]int64
	}{
		{"none", assets.Overrides{}, [2]int{7, 5}, [2]int64{5_000, 30_000}},
		{"another default", assets.Overrides{DefaultMaxAttempts: 1}, [2]int{7, 1}, [2]int64{5_000, 30_000}},
		{"attempts of all", assets.Overrides{DefaultMaxAttempts: 1, MaxAttempts: 3}, [2]int{3, 3}, [2]int64{5_000, 30_000}},
		{"timeout of all", assets.Overrides{Timeout: time.Second}, [2]int{7, 5}, [2]int64{1_000, 1_000}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			nodes := prepare(t, assets.Request{Content: []byte(manifestV2), Overrides: test.overrides}).Plan.Nodes
			require.Len(t, nodes, 2)
			for i, node := range nodes {
				require.Equal(t, test.attempts[i], node.MaxAttempts)
				require.Equal(t, test.timeoutMs[i], node.TimeoutMs)
			}
		})
	}
}

func TestNegativeOverridesAreRefused(t *testing.T) {
	for field, overrides := range map[string]assets.Overrides{
		"overrides.default_max_attempts": {DefaultMaxAttempts: -1},
		"overrides.max_attempts":         {MaxAttempts: -1},
		"overrides.timeout":              {Timeout: -time.Second},
	} {
		got := fields(t, assets.Request{Content: []byte(manifestV2), Overrides: overrides})
		require.Len(t, got, 1)
		require.Equal(t, field, got[0].Path)
	}
}

func TestAllThatIsWrongWithAManifestIsToldAtOnce(t *testing.T) {
	wrong := strings.Replace(manifestV2, "exitpoint: etl", "exitpoint: elt", 1)
	wrong = strings.Replace(wrong, "version: prices-v1", "version: Prices", 1)
	got := fields(t, assets.Request{FileName: "krt.yml", Content: []byte(wrong)})
	require.Len(t, got, 2)
	require.Equal(t, "version", got[0].Path)
	require.True(t, strings.HasPrefix(got[0].Message, "line 2: "), got[0].Message)
	require.Equal(t, "workflows[0].exitpoint", got[1].Path)
	require.Contains(t, got[1].Message, `did you mean "etl"?`)
}

func TestAnEmptyManifestIsRefused(t *testing.T) {
	require.Equal(t, "manifest.content", fields(t, assets.Request{})[0].Path)
}

func TestWhatAManifestLeavesOpenIsFoundInThePackage(t *testing.T) {
	prepared := prepare(t, assets.Request{FileName: "kre.yaml", Content: []byte(manifestV1), PackageFiles: []string{"src/model_etl.py", "src/other.py"}})
	require.Equal(t, "v1-0-3", prepared.Plan.Version)
	require.Equal(t, "src/model_etl.py", prepared.Plan.Nodes[0].Src)
	require.Empty(t, prepared.Plan.Entrypoint.Proto, "there is none in the package")

	prepared = prepare(t, assets.Request{FileName: "kre.yaml", Content: []byte(manifestV1),
		PackageFiles: []string{"bin/model_etl", "public_input.proto"}})
	require.Equal(t, "bin/model_etl", prepared.Plan.Nodes[0].Src)
	require.Equal(t, "public_input.proto", prepared.Plan.Entrypoint.Proto)
}

func TestWhatAManifestLeavesOpenIsMissedWithoutAPackage(t *testing.T) {
	got := fields(t, assets.Request{FileName: "kre.yaml", Content: []byte(manifestV1)})
	require.Len(t, got, 1)
	require.Equal(t, "workflows[0].nodes[0].src", got[0].Path)
}

func TestWhatIsNotInThePackageIsRefused(t *testing.T) {
	got := fields(t, assets.Request{Content: []byte(manifestV2), PackageFiles: []string{"src/etl/main.py"}})
	var paths []string
	for _, field := range got {
		paths = append(paths, field.Path)
	}
	require.ElementsMatch(t, []string{"entrypoint.proto", "workflows[1].nodes[0].src"}, paths)
}

func TestThePublishedManifestsCanBePrepared(t *testing.T) {
	for name, files := range map[string][]string{
		"published-v1": {"src/model_input_etl/main.py", "src/model/main.py", "bin/output", "src/client_metrics/main.py"},
		"published-v2": nil,
	} {
		content, err := os.ReadFile("../../../krt/plan/testdata/" + name + ".yml")
		require.NoError(t, err)
		require.NotEmpty(t, prepare(t, assets.Request{Content: content, PackageFiles: files}).Plan.Nodes)
	}
}

func TestABrokersErrorKeepsItsKind(t *testing.T) {
	service := assets.NewService(&notes{err: fault.New(fault.Unavailable, "away")}, assets.Options{})
	_, err := service.Prepare(t.Context(), assets.Request{Content: []byte(manifestV2)})
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
	_, err = service.Remove(t.Context(), "prices-v1")
	require.Equal(t, fault.Unavailable, fault.KindOf(err))
}

func TestNamesThatNoVersionHasAreRefused(t *testing.T) {
	broker := &notes{}
	for _, name := range []string{"", "Prices", "a_b", "a.b", "a*", ">", "1a", "a-"} {
		_, err := assets.NewService(broker, assets.Options{}).Remove(t.Context(), name)
		require.Equal(t, fault.Invalid, fault.KindOf(err), name)
	}
	require.Empty(t, broker.removed)
}

func TestOneWorksAtATimeAndACallerWhoseTimeIsOverGoes(t *testing.T) {
	broker := &notes{held: make(chan struct{}), entered: make(chan struct{})}
	service := assets.NewService(broker, assets.Options{})
	first := make(chan error, 1)
	go func() {
		_, err := service.Prepare(context.Background(), assets.Request{Content: []byte(manifestV2)})
		first <- err
	}()
	<-broker.entered
	ctx, cancel := context.WithCancelCause(context.Background())
	cancel(errors.New("gone"))
	_, err := service.Remove(ctx, "prices-v1")
	require.ErrorIs(t, err, context.Canceled)
	require.Empty(t, broker.removed)
	close(broker.held)
	require.NoError(t, <-first)
	_, err = service.Remove(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, []string{"prices-v1"}, broker.removed)
}

func TestAPreparedVersionHasCredentialsForWhoHasTheKeys(t *testing.T) {
	request := assets.Request{Content: []byte(manifestV2), PackageFiles: []string{"src/etl/main.py", "bin/etl", "public_input.proto"}}
	require.Empty(t, prepare(t, request).Credentials)
	request.Keys = assets.Keys{Account: "a", User: "u"}
	require.Equal(t, "of prices-v1 with a and u", prepare(t, request).Credentials)
}

func TestAVersionThatHasStoppedIsReleased(t *testing.T) {
	broker := &notes{}
	service := assets.NewService(broker, assets.Options{})
	require.NoError(t, service.Release(t.Context(), "prices-v1"))
	require.Equal(t, fault.Invalid, fault.KindOf(service.Release(t.Context(), "*")))
	require.Equal(t, []string{"prices-v1"}, broker.released)
}

func TestRemovingAVersionForgetsWhatElseIsKeptOfIt(t *testing.T) {
	var forgotten []string
	service := assets.NewService(&notes{}, assets.Options{Forget: func(_ context.Context, version string) error {
		forgotten = append(forgotten, version)
		return nil
	}})
	_, err := service.Remove(t.Context(), "prices-v1")
	require.NoError(t, err)
	require.Equal(t, []string{"prices-v1"}, forgotten)
}

func TestWhatCannotBeAVersionIsNotAskedAbout(t *testing.T) {
	service := assets.NewService(&notes{}, assets.Options{})
	_, err := service.Count(t.Context(), "*")
	require.Equal(t, fault.Invalid, fault.KindOf(err))
	_, err = service.Discard(t.Context(), "a.b")
	require.Equal(t, fault.Invalid, fault.KindOf(err))
	_, err = service.Command(t.Context(), ">", "close")
	require.Equal(t, fault.Invalid, fault.KindOf(err))
}
