package floor

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
)

// clearly is the factor by which the costs per frame of 1 and of 32 frames per
// send must differ. On an idle machine they differ by a factor of 20. The
// required factor is small because other tests run at the same time and only a
// few rounds are measured.
const clearly = 1.2

func TestMoreFramesInASendCostLessEach(t *testing.T) {
	rows, err := Measure(Config{Size: 128, Sockets: 20, Frames: []int{1, 32}, Time: 100 * time.Millisecond}, cli.NewProgress(nil))
	if err != nil {
		t.Fatal(err)
	}
	one, many := rows[0], rows[1]
	if one.SendNs <= 0 || one.ReceiveNs <= 0 || many.SendNs*clearly > one.SendNs || many.ReceiveNs*clearly > one.ReceiveNs {
		t.Errorf("got %+v and %+v", one, many)
	}
}

func TestAnotherCPUReads(t *testing.T) {
	var all unix.CPUSet
	if err := unix.SchedGetaffinity(0, &all); err != nil {
		t.Fatal(err)
	}
	rows, err := Measure(Config{Size: 128, Sockets: 20, Frames: []int{1, 32}, Time: 100 * time.Millisecond, Reader: &all, Gap: time.Millisecond}, cli.NewProgress(nil))
	if err != nil {
		t.Fatal(err)
	}
	if one, many := rows[0], rows[1]; one.SendNs <= 0 || one.ReceiveNs <= 0 || many.SendNs*clearly > one.SendNs {
		t.Errorf("got %+v and %+v", one, many)
	}
}

func TestWhatDoesNotFitIntoASocketIsSaid(t *testing.T) {
	_, err := Measure(Config{Size: 64 << 10, Sockets: 1, Frames: []int{1024}, Time: time.Millisecond}, cli.NewProgress(nil))
	if err == nil || !strings.Contains(err.Error(), "do not fit into a socket's buffer") {
		t.Errorf("got %v", err)
	}
}

func TestFrameSizesFollowTheRFC(t *testing.T) {
	for n, want := range map[int]int{1: 3, 125: 127, 126: 130, 65535: 65539, 65536: 65546} {
		if got := FrameBytes(n); got != want {
			t.Errorf("a message of %d bytes: got a frame of %d, want %d", n, got, want)
		}
	}
}
