//go:build race

package protocol_test

// raceFactor is how much slower the race detector may make things.
const raceFactor = 30
