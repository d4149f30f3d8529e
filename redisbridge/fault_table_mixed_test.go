package redisbridge

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// commitBefore is the last version of the program that knows only format 1.
const commitBefore = "b31612f"

// buildBefore builds that version for test t, or returns "" if the clone does not have its commit.
func buildBefore(t, u *testing.T) (path string) {
	source := t.TempDir()
	archive, err := exec.Command("git", "-C", "..", "archive", commitBefore).Output()
	if err != nil {
		return ""
	}
	unpack := exec.Command("tar", "x", "-C", source)
	unpack.Stdin = bytes.NewReader(archive)
	if out, err := unpack.CombinedOutput(); err != nil {
		u.Fatalf("tar: %v\n%s", err, out)
	}
	return buildServer(t, source)
}

// mixedRows: nodes of the previous version and nodes of this version form one system.
func mixedRows() []row {
	return []row{
		{name: "nodes of version 0.1.0, then also new ones, then only new ones", run: runUpgrade},
		{name: "a node of version 0.1.0 connects to a system of new nodes", run: func(t *testing.T, b *build) tally {
			path, redis := b.before(t), startRedis(t)
			c := startCrowd(t, tableRooms, tableEvery, startSite(t, siteConfig(redis.url(), Reject, 10*time.Second)))
			checkRefused(t, path, redis)
			if format, meta := formats(c.sites[0]), redis.do("GET", "dots:meta"); format != "2" || !strings.HasPrefix(fmt.Sprint(meta), "v2 ") {
				t.Errorf("formats %s are written, and the agreement is %v", format, meta)
			}
			return c.finish()
		}},
	}
}

func runUpgrade(t *testing.T, b *build) tally {
	redis := startRedis(t)
	old := startProgram(t, b.before(t), "--redis="+redis.url(), "--redis-down=reject", "--redis-hold=10s")
	before := fmt.Sprint(redis.do("GET", "dots:meta"))
	eventually(t, "the old node shows that it is there", func() bool { return redis.do("SCARD", "dots:nodes") == int64(1) })
	cfg := siteConfig(redis.url(), Reject, 10*time.Second)
	cfg.Look, cfg.Upgrade = 200*time.Millisecond, 1500*time.Millisecond
	first := startSite(t, cfg)
	c := startCrowd(t, tableRooms, tableEvery, old, first)
	time.Sleep(2 * cfg.Upgrade) // an upgrade would have happened by now if the old node were not seen
	c.flows()
	if now := fmt.Sprint(redis.do("GET", "dots:meta")); now != before || !strings.HasPrefix(now, "v1 ") || formats(first) != "1" || first.bridge.format() != 1 {
		t.Errorf("the agreement was %q and is %q, formats %s are written", before, now, formats(first))
	}
	old.signal(syscall.SIGTERM)
	eventually(t, "the old node has gone", func() bool { return !old.alive() })
	began := time.Now()
	eventually(t, "the new node writes format 2", func() bool { return first.bridge.format() == 2 })
	took := time.Since(began)
	c.add(startSite(t, cfg))
	c.flows()
	if now := fmt.Sprint(redis.do("GET", "dots:meta")); now != "v2"+strings.TrimPrefix(before, "v1") || formats(first) == "1" {
		t.Errorf("the agreement was %q and is %q, formats %s are written", before, now, formats(first))
	}
	checkRefused(t, b.before(t), redis)
	v := c.finish()
	v.note = fmt.Sprintf("format 2 %.1f s after the last old node had gone (set to %v)", took.Seconds(), cfg.Upgrade)
	if v.missing+v.gaps+v.refused+v.moved > 0 {
		t.Errorf("%+v", v)
	}
	return v
}

// formats returns the formats of the last batches in the logs.
func formats(s *site) string {
	found := map[byte]bool{}
	for i := range s.bridge.Lanes() {
		entries, err := s.bridge.store.client.XRevRangeN(s.t.Context(), s.bridge.store.names.log(i), "+", "-", 1).Result()
		if err != nil {
			s.t.Fatal(err)
		}
		for _, e := range entries {
			batch, _ := e.Values["b"].(string)
			if senderOf([]byte(batch)) != 0 && batch != "" {
				found[batch[0]] = true
			}
		}
	}
	text := ""
	for format := range byte(10) {
		if found[format] {
			text += fmt.Sprint(format)
		}
	}
	return text
}

// checkRefused checks that a node of the previous version does not start, and that it says why, in the text of that version.
func checkRefused(t *testing.T, path string, redis *redisServer) {
	t.Helper()
	s, serves := launch(t, path, "--redis="+redis.url())
	eventually(t, "the old program ends", func() bool { return serves() || !s.alive() })
	if text := strings.Join(s.log(), "\n"); serves() || !strings.Contains(text, "speak format 2, this one 1") {
		t.Errorf("a node of the version before serves: %v; it said %s", serves(), text)
	}
}
