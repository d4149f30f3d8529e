package probe

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	_ "net/http/pprof" // registers the debug pages that the tests read
	"os"
	"runtime"
	"strings"
	"testing"
	"time"
)

func TestGoFiguresComeFromTheDebugPages(t *testing.T) {
	srv := httptest.NewServer(http.DefaultServeMux)
	defer srv.Close()
	a := NewAdmin(srv.URL + "/")
	before, err := a.Read()
	if err != nil {
		t.Fatal(err)
	}
	if err := a.GC(); err != nil {
		t.Fatal(err)
	}
	after, err := a.Read()
	if err != nil {
		t.Fatal(err)
	}
	if after.NumGC < before.NumGC+3 || after.Goroutines < 2 || after.HeapInuse < after.HeapAlloc || after.StackInuse == 0 {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if _, err := NewAdmin(srv.URL + "/nothing").Read(); err == nil {
		t.Error("a 404 was accepted as figures")
	}
}

func TestCountersComeFromTheMetrics(t *testing.T) {
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte("# HELP a_total what a is\na_total 5\na_total_more 7\nb_total{x=\"1 2\"} 1e3\nb_total{x=\"2\"} 2\n"))
	}))
	defer srv.Close()
	a := NewAdmin(srv.URL)
	got, err := a.Counters("b_total", "a_total")
	if err != nil || got[0] != 1002 || got[1] != 5 {
		t.Errorf("got %v, %v, want 1002 and 5", got, err)
	}
	if _, err := a.Counters("c_total"); err == nil || !strings.Contains(err.Error(), "has no c_total") {
		t.Errorf("a counter that is not there: got %v", err)
	}
}

func TestProcFiguresOfThisProcess(t *testing.T) {
	p, err := ReadProc(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if p.RSS < 1<<20 || p.Private < 1<<19 || p.Threads < 2 || p.Descriptors < 3 {
		t.Errorf("got %+v", p)
	}
	if _, err := ReadProc(1 << 30); err == nil {
		t.Error("a process that is not there has figures")
	}
}

func TestSettleWaitsForTheLastChange(t *testing.T) {
	n := 0
	read := func() (int64, error) {
		n++
		return int64(max(0, 20-n)) << 20, nil
	}
	wait := func(time.Duration) error { return nil }
	if p, err := settle(read, time.Minute, wait); err != nil || p != 0 || n < 20+settledSamples-1 {
		t.Errorf("settled after %d samples at %d: %v", n, p, err)
	}
	n = -1 << 20
	if _, err := settle(read, time.Second, wait); !errors.Is(err, ErrUnsettled) {
		t.Errorf("memory that grows all the time: got %v", err)
	}
}

func TestChildrenAreStartedAndStopped(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if _, err := Start("sleep 5", time.Second); err == nil {
		t.Error("a command without {port} was accepted")
	}
	_, err := Start("sh -c 'echo port {port} is taken >&2; exit 3'", time.Second)
	if err == nil || !strings.Contains(err.Error(), "is taken") {
		t.Errorf("got %v, want the server's last words", err)
	}
	begin := time.Now()
	if _, err = Start("sleep 5 {port}", 50*time.Millisecond); err == nil || time.Since(begin) > 2*time.Second {
		t.Errorf("a server that does not accept: got %v after %v", err, time.Since(begin))
	}
}

func TestAServerThatAnswers503IsNotReady(t *testing.T) {
	status := http.StatusServiceUnavailable
	web := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(status) }))
	defer web.Close()
	s := &Server{Addr: web.Listener.Addr().String()}
	if s.answers() {
		t.Error("503 counts as ready")
	}
	for _, status = range []int{http.StatusOK, http.StatusNotFound, http.StatusInternalServerError} {
		if !s.answers() {
			t.Errorf("%d does not count as ready", status)
		}
	}
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if s.Addr = silent.Addr().String(); !s.answers() {
		t.Error("a server that does not speak HTTP does not count as ready")
	}
	_ = silent.Close()
	if s.answers() {
		t.Error("a port without a listener counts as ready")
	}
}
