//go:build !race

package protocol_test

// raced reports whether the race detector is on, which makes everything slow.
const raced = false
