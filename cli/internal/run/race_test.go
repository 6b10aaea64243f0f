//go:build race

package run_test

// raceDetector is on where the tests have it, so that what they start has it, too.
const raceDetector = true
