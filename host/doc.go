// Package host runs versions on one machine: see its sub-packages.
package host
