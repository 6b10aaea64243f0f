package process_test

import (
	"testing"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle/lifecycletest"
)

func TestDoesWhatEveryClusterDoes(t *testing.T) {
	lifecycletest.Run(t, func(t *testing.T) lifecycletest.World {
		w := newWorld(t)
		return lifecycletest.World{Cluster: w.cluster, Version: func(runtime, name string) lifecycle.Version {
			v := desired(name, 1, w.upload(name, packed(name)))
			v.Runtime = runtime
			return v
		}}
	})
}
