// Package embedded holds the stores that run inside a process of this machine: see its sub-packages.
package embedded
