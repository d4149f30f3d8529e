package server

import (
	"strings"
	"testing"
)

func TestALimitOfOpenFilesIsSharedInProportion(t *testing.T) {
	for _, row := range []struct {
		limit          uint64
		loops, backend int
		want           fileShares
	}{
		{100, 2, 0, fileShares{clients: 67, admin: 4, refusals: 4}},
		{200, 2, 0, fileShares{clients: 155, admin: 10, refusals: 10}},
		{1024, 2, 0, fileShares{clients: 935, admin: 32, refusals: 32}},
		{20000, 2, 0, fileShares{clients: 19911, admin: 32, refusals: 32}},
		{20000, 2, 40, fileShares{clients: 19871, admin: 32, refusals: 32}},
		{1 << 63, 64, 0, fileShares{clients: 1<<30 - 273 - 64, admin: 32, refusals: 32}},
		{34, 2, 0, fileShares{clients: 1, admin: 4, refusals: 4}},
	} {
		got, err := shareDescriptors(row.limit, row.loops, row.backend)
		if err != nil || got != row.want {
			t.Errorf("a limit of %d, %d loops, %d for the backend: %+v, %v, want %+v", row.limit, row.loops, row.backend, got, err, row.want)
		}
	}
	for _, limit := range []uint64{0, 20, 33} {
		if _, err := shareDescriptors(limit, 2, 0); err == nil || !strings.Contains(err.Error(), "needs 34") || !strings.Contains(err.Error(), "ulimit -n") {
			t.Errorf("a limit of %d: %v, want an error with the number that is needed and the way to raise the limit", limit, err)
		}
	}
}
