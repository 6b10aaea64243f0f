// Package e2e holds the tests of whole versions: programs as they are built, started and called as people do. What they
// share is in package harness.
package e2e
