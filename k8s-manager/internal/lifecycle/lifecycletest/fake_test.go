package lifecycletest_test

import (
	"strings"
	"testing"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle/lifecycletest"
)

func TestTheClusterInMemoryDoesWhatEveryOneDoes(t *testing.T) {
	lifecycletest.Run(t, func(*testing.T) lifecycletest.World {
		return lifecycletest.World{
			Cluster: lifecycletest.NewCluster(),
			Version: func(runtime, name string) lifecycle.Version {
				return lifecycle.Version{Runtime: runtime, Name: name, Revision: 1, Digest: strings.Repeat("0", 64), Running: true}
			},
		}
	})
}
