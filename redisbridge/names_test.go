package redisbridge

import (
	"encoding/binary"
	"fmt"
	"math"
	"testing"
)

// The test vectors are those of the reference implementation: key 00..0f, input 00 01 02 …
func TestSipHashIsTheReference(t *testing.T) {
	key := make([]byte, 16)
	for i := range key {
		key[i] = byte(i)
	}
	k0, k1 := binary.LittleEndian.Uint64(key), binary.LittleEndian.Uint64(key[8:])
	for n, want := range map[int]uint64{0: 0x726fdb47dd0e0e31, 1: 0x74f839c593dc67fd, 8: 0x93f5f5799a932462, 15: 0xa129ca6149be45e5} {
		in := make([]byte, n)
		for i := range in {
			in[i] = byte(i)
		}
		if got := sipHash(k0, k1, string(in)); got != want {
			t.Errorf("%d bytes: got %016x, want %016x", n, got, want)
		}
	}
}

func TestAMillionChosenNamesSpreadEvenly(t *testing.T) {
	const names, lanes = 1_000_000, 16
	m := &meta{key: [2]uint64{randomUint64(), randomUint64()}, lanes: lanes}
	var count [lanes]int
	for i := range names { // with a plain modulus or a hash without a key, all these names would be in one lane
		count[laneOf(m, fmt.Sprintf("chat/%08d", i*lanes))]++
	}
	const mean = names / lanes
	for i, n := range count {
		if math.Abs(float64(n-mean)) > 6*math.Sqrt(mean) {
			t.Errorf("lane %d has %d of %d names, want %d", i, n, names, mean)
		}
	}
	t.Logf("names by lane: %v", count)
}

func TestLanesSpreadOverTheSlots(t *testing.T) {
	if got := slotOf("123456789"); got != 0x31C3 { // the test vector of the Cluster specification
		t.Errorf("got slot %x, want 31c3", got)
	}
	for _, lanes := range []int{1, 3, 16, 64, 1000} {
		n := newNames("dots", lanes)
		for i, tag := range n.tags {
			if got := slotOf(tag) * lanes / slots; got != i {
				t.Errorf("%d lanes: lane %d with the tag %s falls into part %d", lanes, i, tag, got)
			}
		}
	}
}

func TestAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"redis://localhost":                 "0 [localhost:6379]  : 0 false",
		"redis://:p%40ss@h:1/2":             "0 [h:1]  :p@ss 2 false",
		"rediss://u:p@h:1":                  "0 [h:1]  u:p 0 true",
		"redis://[::1]:7":                   "0 [[::1]:7]  : 0 false",
		"redis+sentinel://a:1,b:2/mymaster": "1 [a:1 b:2] mymaster : 0 false",
		"redis+sentinel://u:p@a/m":          "1 [a:26379] m u:p 0 false",

		"redis+sentinel://u:p@a,b/m?sentinel_user=v&sentinel_password=q": "1 [a:26379 b:26379] m u:p 0 false v:q",
		"rediss+sentinel://a/m?sentinel_password=a+%26%3D%3F%40%2F%23=":  "1 [a:26379] m : 0 true :a+&=?@/#=",
		"redis+sentinel://a/m?sentinel_user=v":                           "", "redis+sentinel://a/m?sentinel_password=": "",
		"redis+sentinel://a/m?": "", "redis+sentinel://a?sentinel_password=q": "", "redis+sentinel://a/m?sentinel_password=%q": "",
		"redis+sentinel://a/m?sentinel_password=q&sentinel_password=q": "", "redis+sentinel://a/m?sentinel_password=q&db=1": "",
		"redis+sentinel://a/m?Sentinel_Password=q": "", "redis+sentinel://a/m?sentinel_password=q#x": "", "redis+sentinel://a/m?sentinel_password=p@b/m": "",
		"redis://a?sentinel_password=q": "", "redis+cluster://a?sentinel_password=q": "", "redis://:p?q@a": "", "redis://:p/q@a": "", "redis://:p@q@a": "",

		"redis+cluster://a:1,b:2": "2 [a:1 b:2]  : 0 false",
		"rediss+cluster://a":      "2 [a:6379]  : 0 true",
		"":                        "", "localhost": "", "http://a": "", "redis://": "", "redis://a:b": "", "redis://a:0": "", "redis://a:70000": "", "redis://a/x": "",
		"redis://u@a": "", "redis://a,b": "", "redis+sentinel://a": "", "redis+cluster://a/1": "", "redis://a?x=1": "", "redis://:%zz@a": "",
	} {
		a, err := ParseAddress(text)
		got := ""
		if err == nil {
			got = fmt.Sprint(a.Kind, " ", a.Hosts, " ", a.Master, " ", a.Username, ":", a.Password, " ", a.DB, " ", a.TLS != nil)
			if a.SentinelPassword != "" {
				got += fmt.Sprint(" ", a.SentinelUsername, ":", a.SentinelPassword)
			}
		}
		if got != want {
			t.Errorf("%q: got %q (%v), want %q", text, got, err, want)
		}
	}
}
