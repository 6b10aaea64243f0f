// Package spec is the specification of the wire between entrypoint and nodes, protocol.md, and the suite that every
// runner SDK has to pass: it starts a node written in the SDK's language as a process, and drives it over a real broker.
// The suite knows no SDK; how to start a language's node is all it is told.
package spec
