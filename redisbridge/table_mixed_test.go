package redisbridge

import "testing"

const commitBefore = "b31612f"

func buildBefore(t, u *testing.T) string { return "" }
func mixedRows() (rows []row)            { return nil }
