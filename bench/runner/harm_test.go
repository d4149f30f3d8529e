package runner

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"dotsconnect/bench/internal/cli"
)

func harmOf(hurtLine, healLine string) *harm {
	return &harm{lines: map[string]string{hurt: hurtLine, heal: healLine}}
}

func TestWhatWasHurtIsHealedOnceAndOnlyThen(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	for _, c := range []struct {
		whats []string
		want  string
	}{
		{nil, ""},
		{[]string{hurt, heal}, "hurt heal "},
		{[]string{hurt}, "hurt heal "}, // the run was aborted during the fault
	} {
		_ = os.Remove(log)
		h := harmOf("printf 'hurt ' >> "+log, "printf 'heal ' >> "+log)
		if err := h.begin(heal); err != nil { // does nothing, because no fault was made yet
			t.Fatal(err)
		}
		for _, what := range c.whats {
			if err := h.begin(what); err != nil {
				t.Fatal(err)
			}
			<-h.begun[len(h.begun)-1].done
		}
		if err := h.finish(); err != nil {
			t.Fatal(err)
		}
		if err := h.begin(hurt); err != nil || len(h.begun) > 2 { // does nothing, because the run is over
			t.Errorf("got %d commands, %v", len(h.begun), err)
		}
		got, _ := os.ReadFile(log)
		if string(got) != c.want {
			t.Errorf("%v: got %q, want %q", c.whats, got, c.want)
		}
	}
}

func TestAHealThatFailedIsTriedAgainAndStillTold(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	h := harmOf("true", "echo so; test -e "+mark+" || { touch "+mark+"; exit 3; }")
	for _, what := range []string{hurt, heal} {
		if err := h.begin(what); err != nil {
			t.Fatal(err)
		}
		<-h.begun[len(h.begun)-1].done
	}
	err := h.finish()
	if cli.Exit(&strings.Builder{}, "", err) != cli.Usage || !strings.Contains(err.Error(), "failed, exit status 3: so") || len(h.begun) != 3 {
		t.Errorf("got %v after %d commands", err, len(h.begun))
	}
}

// The server is a shell that starts a second shell. The second shell ignores
// SIGTERM and starts a third process.
func TestAllOfAFamilyEnds(t *testing.T) {
	cmd := exec.Command("/bin/sh", "-c", "sh -c 'trap : TERM; sleep 60 & wait; sleep 60' & wait")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	under := descendants(cmd.Process.Pid)
	for len(under) < 2 {
		under = descendants(cmd.Process.Pid)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	endAll(under)
	for range 1000 {
		if !under[0].lives() && !under[1].lives() {
			return
		}
	}
	t.Errorf("left %+v", under)
}
