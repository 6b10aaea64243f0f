package gobuild

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/konstellation-io/kre/host/carried"
)

// extractSDK puts the carried SDK into dir, unless it is there. The caller holds the project's lock.
func extractSDK(dir string) error {
	digest, err := carried.GoSDKDigest()
	if err != nil {
		return err
	}
	stamp := dir + ".sha256"
	there, err := os.ReadFile(stamp)
	if err == nil && string(there) == digest {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return nil
		}
	}
	for _, old := range []string{stamp, dir} {
		if err := os.RemoveAll(old); err != nil {
			return fmt.Errorf("put the Go SDK into the project: %w", err)
		}
	}
	if err := carried.GoSDK(dir); err != nil {
		return err
	}
	if err := os.WriteFile(stamp, []byte(digest), 0o644); err != nil { //nolint:gosec // no secret
		return fmt.Errorf("put the Go SDK into the project: %w", err)
	}
	return nil
}
