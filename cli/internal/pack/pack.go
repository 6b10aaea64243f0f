// Package pack is `kre pack`: a project becomes a .krt.
package pack

import (
	"context"
	"errors"
)

// Command packs a project.
type Command struct {
	Project  string `arg:"" optional:"" default:"." type:"existingdir" help:"Folder of the project."`
	Output   string `short:"o" placeholder:"FILE" type:"path" help:"File to write; <version>.krt by default."`
	NoVendor bool   `help:"Leave out the wheels of Python nodes: they start with the SDK's own only."`
	Platform string `placeholder:"OS/ARCH" help:"Platform of the package; only this machine's for now."`
}

// Run packs the project and prints what is in the package and what was left out.
func (c *Command) Run(ctx context.Context) error {
	return errors.New("pack: in the making")
}
