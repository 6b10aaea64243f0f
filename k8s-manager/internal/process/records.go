package process

import (
	"path/filepath"
	"time"

	"github.com/konstellation-io/kre/k8s-manager/internal/lifecycle"
	"github.com/konstellation-io/kre/kit/ports"
	"github.com/konstellation-io/kre/kit/socket"
)

// runtimeRecord is runtime.json: what should be of a runtime, and what has to be known of it across restarts.
type runtimeRecord struct {
	Revision         int64  `json:"revision"`
	PublishedVersion string `json:"published_version"`
	Deleting         bool   `json:"deleting,omitempty"`

	GRPCPort int `json:"grpc_port,omitempty"` // of the stable address
	HTTPPort int `json:"http_port,omitempty"`
	APIPort  int `json:"api_port,omitempty"` // of runtime-api; 0: it listens at a socket

	Leads  string   `json:"leads,omitempty"`  // version that address.json names, or is about to name
	Moving []string `json:"moving,omitempty"` // versions it led to before, whose connections have not been moved yet

	HasAccount      bool `json:"has_account,omitempty"`      // the broker has known the account
	PackagesRemoved bool `json:"packages_removed,omitempty"` // while it is deleted
}

// apiAddress is where the runtime-api of a runtime in that folder listens, or will.
func (r runtimeRecord) apiAddress(dir string) string {
	if r.APIPort != 0 {
		return ports.Address(ports.Loopback, r.APIPort)
	}
	return socket.At(filepath.Join(dir, "runtime-api", "grpc.sock"))
}

// versionRecord is version.json: what should be of a version.
type versionRecord struct {
	Revision     int64             `json:"revision"`
	Digest       string            `json:"digest"`
	Running      bool              `json:"running"`
	Discard      bool              `json:"discard,omitempty"`
	Variables    map[string]string `json:"variables,omitempty"`
	Files        map[string][]byte `json:"files,omitempty"`
	DrainSeconds float64           `json:"drain_seconds,omitempty"`
	Deleting     bool              `json:"deleting,omitempty"`
}

func recordOf(v lifecycle.Version) versionRecord {
	return versionRecord{
		Revision: v.Revision, Digest: v.Digest, Running: v.Running, Discard: v.Discard, Variables: v.Variables,
		Files: v.Files, DrainSeconds: v.Drain.Seconds(),
	}
}

func (r versionRecord) desired(runtime, version string) lifecycle.Version {
	return lifecycle.Version{
		Runtime: runtime, Name: version, Revision: r.Revision, Digest: r.Digest, Running: r.Running, Discard: r.Discard,
		Variables: r.Variables, Files: r.Files, Drain: time.Duration(r.DrainSeconds * float64(time.Second)),
	}
}

// keptRecord is kept.json: what has to be known of a version across its starts.
type keptRecord struct {
	GRPCPort int `json:"grpc_port,omitempty"` // of its entrypoint
	HTTPPort int `json:"http_port,omitempty"`

	Closed  bool  `json:"closed,omitempty"`  // its entrypoint was told to refuse calls
	Counted bool  `json:"counted,omitempty"` // Stored is right
	Stored  int64 `json:"stored,omitempty"`  // messages, when it stopped
	// Discarded is the revision for which the stored messages were dropped.
	Discarded int64 `json:"discarded,omitempty"`
	// RanDigest is of the package that runs or ran last.
	RanDigest string `json:"ran_digest,omitempty"`
}

// addressRecord is address.json, and the file that acknowledges it.
type addressRecord struct {
	GRPC string `json:"grpc"` // host:port; empty: nowhere
	HTTP string `json:"http"`
}

// nodesRecord is nodes.json: for whom the processes of a version work.
type nodesRecord struct {
	Processes []processRecord `json:"processes"`
}

// processRecord is one process of a version.
type processRecord struct {
	Process  string `json:"process"`
	Workflow string `json:"workflow"` // as written; empty for the entrypoint
	Node     string `json:"node"`     // as written, or entrypoint
	Replica  int    `json:"replica"`
}
