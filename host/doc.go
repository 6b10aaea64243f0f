// Package host runs versions on one machine: launch turns a prepared version into commands, pyenv keeps the virtual
// environments of Python nodes, carried holds the SDKs that programs bring along, filelock lets one process at a time do
// something. `kre run` and the process adapter of k8s-manager are built on it.
package host
