package managerclient

import (
	"github.com/konstellation-io/kre/admin-api/internal/engine"
	managerv1 "github.com/konstellation-io/kre/proto/gen/go/kre/manager/v1"
)

var runtimePhases = map[managerv1.RuntimeStatus_Phase]engine.Phase{
	managerv1.RuntimeStatus_PHASE_CREATING: engine.Making,
	managerv1.RuntimeStatus_PHASE_READY:    engine.Ready,
	managerv1.RuntimeStatus_PHASE_ERROR:    engine.Failed,
	managerv1.RuntimeStatus_PHASE_DELETING: engine.Removing,
}

var versionPhases = map[managerv1.VersionStatus_Phase]engine.Phase{
	managerv1.VersionStatus_PHASE_STOPPED:  engine.Stopped,
	managerv1.VersionStatus_PHASE_STARTING: engine.Starting,
	managerv1.VersionStatus_PHASE_STARTED:  engine.Started,
	managerv1.VersionStatus_PHASE_STOPPING: engine.Stopping,
	managerv1.VersionStatus_PHASE_ERROR:    engine.Failed,
}

// observed is a runtime's status as the engine knows it. A phase that is not known is PhaseUnknown.
func observed(status *managerv1.RuntimeStatus) engine.ObservedRuntime {
	runtime := engine.ObservedRuntime{
		Name: status.GetRuntime(), Phase: runtimePhases[status.GetPhase()], Reason: status.GetReason(), Revision: status.GetRevision(),
		Published: status.GetPublishedVersion(), GRPCAddress: status.GetGrpcAddress(), HTTPAddress: status.GetHttpAddress(),
		RuntimeAPIAddress: status.GetRuntimeApiAddress(),
	}
	if time := status.GetObserveTime(); time != nil {
		runtime.ObserveTime = time.AsTime()
	}
	for _, version := range status.GetVersions() {
		runtime.Versions = append(runtime.Versions, engine.ObservedVersion{
			Name: version.GetVersion(), Phase: versionPhases[version.GetPhase()], Reason: version.GetReason(),
			Revision: version.GetRevision(), Digest: version.GetDigest(), StoredMessages: version.GetStoredMessages(),
			GRPCAddress: version.GetGrpcAddress(), HTTPAddress: version.GetHttpAddress(),
		})
	}
	return runtime
}
