package harness

import (
	"encoding/json"
	"os"
)

// TryReady reports whether the version takes calls by now, and learns its addresses if it does.
func (r *Run) TryReady() bool {
	content, err := os.ReadFile(r.file)
	return err == nil && json.Unmarshal(content, &r.Info) == nil && r.Info.GRPC != ""
}
