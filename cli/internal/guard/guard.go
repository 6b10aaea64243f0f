// Package guard is kre as the guard of the processes that another kre supervises: see proc.Guard.
package guard

import (
	"os"
	"os/exec"
)

// Argument is the only one with which kre starts itself as a guard.
const Argument = "guard-processes"

// Command starts this program as a guard.
func Command() (*exec.Cmd, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return exec.Command(self, Argument), nil
}
