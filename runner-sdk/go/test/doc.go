// Package test holds the tests of the Go SDK against a real broker, run inside the test. It is a module of its own, so
// that no node's author carries a broker along with the SDK.
package test
