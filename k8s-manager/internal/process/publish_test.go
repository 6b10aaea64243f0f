package process_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/fault"
)

func TestPublishingLeadsTheAddressThereAndMovesTheFormerOnesConnections(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.start(t, "v2")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	require.Equal(t, w.version(t, "v1").GRPCAddress, w.leads(t).GRPC)
	require.Equal(t, w.version(t, "v1").HTTPAddress, "http://"+w.leads(t).HTTP)
	require.Empty(t, w.api.calls("move"))

	w.publish(t, 3, "v2")
	w.eventually(t, "moved", func() bool { return len(w.api.calls("move")) == 1 })
	require.Equal(t, []string{"move v1"}, w.api.calls("move"))
	require.Equal(t, w.version(t, "v2").GRPCAddress, w.leads(t).GRPC, "the address came first")
	require.Equal(t, "v2", w.status(t).PublishedVersion)
	require.Equal(t, lifecycle.Started, w.version(t, "v1").Phase, "it goes on")

	w.publish(t, 4, "")
	w.wait(t, "unpublished", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "" })
	require.Empty(t, w.leads(t).GRPC)
	w.eventually(t, "moved", func() bool { return len(w.api.calls("move v2")) == 1 })
}

func TestAPublishWaitsUntilTheVersionIsReady(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	cause := filepath.Join(t.TempDir(), "cause")
	require.NoError(t, os.WriteFile(cause, nil, 0o600))
	failing := "#!/bin/sh\nif [ -e " + cause + " ]; then exit 3; fi\n" + good
	w.publish(t, 3, "v2")
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v2", 1, w.upload("v2", packed("v2", failing)))))
	w.waitPhase(t, "v2", lifecycle.Error)
	require.Equal(t, "v1", w.status(t).PublishedVersion)
	require.Equal(t, w.version(t, "v1").GRPCAddress, w.leads(t).GRPC)
	require.NoError(t, os.Remove(cause))
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v2" })
}

func TestAPublishedVersionInErrorStaysPublished(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	cause := filepath.Join(t.TempDir(), "cause")
	fragile := strings.Replace(good, "#!/bin/sh\n", "#!/bin/sh\nif [ -e "+cause+" ]; then exit 3; fi\n", 1)
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), desired("v1", 1, w.upload("v1", packed("v1", fragile)))))
	w.waitPhase(t, "v1", lifecycle.Started)
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	require.NoError(t, os.WriteFile(cause, nil, 0o600))
	kill(t, w.pids(t, "v1")["work.b-0"])
	w.eventually(t, "it fails again and again", func() bool { return w.record(t, "v1", "work.b-0").Restarts > 1 })
	require.Equal(t, lifecycle.Error, w.version(t, "v1").Phase)
	require.Equal(t, "v1", w.status(t).PublishedVersion)
	require.Equal(t, w.version(t, "v1").GRPCAddress, w.leads(t).GRPC)
	require.Empty(t, w.api.calls("move"))
}

func TestTheAddressIsLedAwayBeforeAVersionIsStopped(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	v := w.start(t, "v1")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	w.publish(t, 3, "v2") // which is not there
	w.api.set(func(a *fakeAPI) { a.waiting = 1 })
	v.Revision, v.Running = 2, false
	require.NoError(t, w.cluster.ApplyVersion(t.Context(), v))
	w.eventually(t, "closed", func() bool { return len(w.api.calls("close v1")) > 0 })
	require.Empty(t, w.leads(t).GRPC)
	w.waitPhase(t, "v1", lifecycle.Stopped)
}

func TestConnectionsAreMovedWhenRuntimeAPIIsBack(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.start(t, "v2")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	w.api.set(func(a *fakeAPI) { a.away = fault.New(fault.Unavailable, "away") })
	w.publish(t, 3, "v2")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v2" })
	w.api.set(func(a *fakeAPI) { a.away = nil })
	w.eventually(t, "moved", func() bool { return len(w.api.calls("move v1")) == 1 })
}

func TestAnAddressThatDiesComesBackAndLeadsWhereItDid(t *testing.T) {
	w := newWorld(t)
	w.runtime(t)
	w.start(t, "v1")
	w.publish(t, 2, "v1")
	w.wait(t, "published", func(s lifecycle.RuntimeStatus) bool { return s.PublishedVersion == "v1" })
	before, pid := w.status(t), w.base(t, "address").PID
	kill(t, pid)
	w.eventually(t, "another process", func() bool { return w.base(t, "address").PID != pid })
	after := w.wait(t, "ready", func(s lifecycle.RuntimeStatus) bool { return s.Phase == lifecycle.Ready })
	require.Equal(t, before.GRPCAddress, after.GRPCAddress)
	require.Equal(t, "v1", after.PublishedVersion)
}
