package probe

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
)

// thread writes the schedstat of a thread into a copy of /proc.
func thread(t *testing.T, root, pid, tid, text string) {
	t.Helper()
	dir := filepath.Join(root, pid, "task", tid)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "schedstat"), []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestTheWaitsOfAllThreadsCountAlsoOfThoseThatEnded(t *testing.T) {
	root := t.TempDir()
	w := &Waits{Root: root}
	read := func(want int64) {
		t.Helper()
		if got, ok := w.Read(4711, 4712); got != want || !ok {
			t.Errorf("got %d, %t, want %d", got, ok, want)
		}
	}
	thread(t, root, "4711", "4711", "1000 100 5\n")
	thread(t, root, "4711", "4713", "1000 20 5\n")
	thread(t, root, "4712", "4712", "1000 3 5\n")
	read(123)
	thread(t, root, "4711", "4713", "1500 50 6\n")
	read(153)
	if err := os.RemoveAll(filepath.Join(root, "4711", "task", "4713")); err != nil {
		t.Fatal(err)
	}
	read(153)
	thread(t, root, "4711", "4713", "1 7 1\n") // a new thread with the number of the one that ended
	read(160)
	if err := os.RemoveAll(filepath.Join(root, "4712")); err != nil {
		t.Fatal(err)
	}
	read(160)
	if err := os.Remove(filepath.Join(root, "4711", "task", "4711", "schedstat")); err != nil {
		t.Fatal(err)
	}
	if _, ok := w.Read(4711); ok {
		t.Error("a thread without schedstat is known")
	}
}

func TestAZombieHasEnded(t *testing.T) {
	if Ended(os.Getpid()) {
		t.Error("this process has ended")
	}
	cmd := exec.Command("true")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = out.Read(make([]byte, 1)) // EOF: the process is ending
	for !Ended(cmd.Process.Pid) {    // until Wait below it is a zombie
		if _, err := os.Stat("/proc/" + strconv.Itoa(cmd.Process.Pid)); err != nil {
			t.Fatal(err)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	if !Ended(cmd.Process.Pid) {
		t.Error("a process that is gone has not ended")
	}
}
