// Package floor measures the CPU time that the kernel alone needs to send a
// frame to each of N loopback sockets and to read it again.
//
// A server that delivers frames by system calls on sockets cannot need less CPU
// time, so its CPU time per delivery is compared with this floor. In a round
// one thread writes one or several frames in one call to each of N sockets, and
// then reads all data from the other ends. Its CPU time is measured separately
// for writing and for reading. On loopback a packet goes through both TCP
// stacks within the send call, so the cost of both stacks counts for the send,
// as it does for a server. With Config.Reader a second thread reads the other
// ends (apart.go). The result is the median of many rounds, so that an
// interrupt in one round does not change it.
package floor

import (
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"dotsconnect/bench/internal/cli"
)

// Config configures a measurement.
type Config struct {
	Size    int           // bytes of a message, without its WebSocket header
	Sockets int           // number of pairs of sockets; each pair needs two descriptors
	Frames  []int         // numbers of frames per send; there is one row for each number
	Time    time.Duration // how long each row is measured
	Reader  *unix.CPUSet  // CPUs for a thread that only reads; nil: one thread writes and reads
	Gap     time.Duration // pause between two rounds, only with Reader
}

// Row has the result for one number of frames per send, in nanoseconds of CPU
// time.
type Row struct {
	Frames       int     `json:"frames_per_send"`
	SendNs       float64 `json:"send_cpu_ns_per_frame"`
	ReceiveNs    float64 `json:"receive_cpu_ns_per_frame"`
	SendCallNs   float64 `json:"send_cpu_ns_per_call"`
	ReceiveCalls float64 `json:"receive_cpu_ns_per_call"`
	Rounds       int     `json:"rounds"`
}

// Measure measures a row for each number of frames in the configuration.
func Measure(cfg Config, progress *cli.Progress) ([]Row, error) {
	if err := cli.NeedDescriptors(2*cfg.Sockets + 1); err != nil {
		return nil, err
	}
	// The rows have the CPU time of this thread, so this goroutine must keep
	// its thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := open(cfg.Sockets)
	if err != nil {
		return nil, err
	}
	defer p.close()
	if err := p.warm(cfg.Size); err != nil {
		return nil, err
	}
	rows := make([]Row, 0, len(cfg.Frames))
	for _, frames := range cfg.Frames {
		progress.Show("%d frames a send", frames)
		measure := p.row
		if cfg.Reader != nil {
			measure = p.rowApart
		}
		row, err := measure(cfg, frames)
		if err != nil {
			return nil, err
		}
		rows = append(rows, row)
	}
	return rows, nil
}

// FrameBytes returns the size of a server's frame that has a message of n bytes
// (RFC 6455 section 5.2).
func FrameBytes(n int) int {
	switch {
	case n <= 125:
		return n + 2
	case n <= 0xffff:
		return n + 4
	}
	return n + 10
}

// pairs has pairs of connected sockets: from[i] writes to to[i].
type pairs struct {
	from, to []int
}

func open(n int) (*pairs, error) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer func() { _ = ln.Close() }()
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, err
	}
	p := &pairs{}
	addr := &unix.SockaddrInet4{Port: ln.Addr().(*net.TCPAddr).Port, Addr: [4]byte{127, 0, 0, 1}}
	for range n {
		var pairErr error
		if err := raw.Control(func(fd uintptr) { pairErr = p.add(int(fd), addr) }); err != nil || pairErr != nil {
			p.close()
			return nil, errors.Join(err, pairErr)
		}
	}
	return p, nil
}

// add makes a pair. A blocking connect on loopback returns when the kernel has
// accepted the connection, so the accept after it does not wait.
func (p *pairs) add(listener int, addr unix.Sockaddr) error {
	to, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, unix.IPPROTO_TCP)
	if err != nil {
		return fmt.Errorf("socket: %w", err)
	}
	p.to = append(p.to, to)
	if err := unix.Connect(to, addr); err != nil {
		return fmt.Errorf("cannot connect: %w", err)
	}
	from, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
	if err != nil {
		return fmt.Errorf("cannot accept: %w", err)
	}
	p.from = append(p.from, from)
	return errors.Join(unix.SetNonblock(to, true), unix.SetsockoptInt(from, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1))
}

func (p *pairs) close() {
	for _, fd := range slices.Concat(p.from, p.to) {
		_ = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
		_ = unix.Close(fd)
	}
}

// warm ends the quick-ack mode of new TCP connections. In this mode the first
// 16 segments are acknowledged during the send; later segments are acknowledged
// when they are read.
func (p *pairs) warm(size int) error {
	const segments = 20
	b := make([]byte, FrameBytes(size))
	for range segments {
		if err := p.send(b, 1); err != nil {
			return err
		}
		if err := p.receive(b, len(b)); err != nil {
			return err
		}
	}
	return nil
}

func (p *pairs) row(cfg Config, frames int) (Row, error) {
	const atLeast = 5
	out := make([]byte, frames*FrameBytes(cfg.Size))
	in := make([]byte, len(out)+1)
	var sends, receives []float64
	// The first round does not count, because the kernel may enlarge buffers in
	// it.
	for round, end := 0, time.Now().Add(cfg.Time); round <= atLeast || time.Now().Before(end); round++ {
		t0 := threadCPU()
		if err := p.send(out, frames); err != nil {
			return Row{}, err
		}
		t1 := threadCPU()
		if err := p.receive(in, len(out)); err != nil {
			return Row{}, err
		}
		t2 := threadCPU()
		if round > 0 {
			sends, receives = append(sends, float64(t1-t0)), append(receives, float64(t2-t1))
		}
	}
	return p.summarize(frames, sends, receives), nil
}

func (p *pairs) summarize(frames int, sends, receives []float64) Row {
	calls := float64(len(p.from))
	send, receive := median(sends)/calls, median(receives)/calls
	return Row{Frames: frames, Rounds: len(sends), SendCallNs: send, ReceiveCalls: receive,
		SendNs: send / float64(frames), ReceiveNs: receive / float64(frames)}
}

func (p *pairs) send(b []byte, frames int) error {
	for _, fd := range p.from {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
			uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		if errno == unix.EAGAIN || errno == 0 && int(n) < len(b) {
			return cli.Failf(cli.Usage, "%d frames with %d bytes in total do not fit into a socket's buffer: use a smaller --frames or --size", frames, len(b))
		}
		if errno != 0 {
			return fmt.Errorf("sendto: %w", errno)
		}
	}
	return nil
}

// receive reads the data of a round from each socket. One call is enough for a
// socket, unless the kernel has not yet passed on all of the data.
func (p *pairs) receive(b []byte, want int) error {
	for _, fd := range p.to {
		for got := 0; got < want; {
			n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd),
				uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), 0, 0, 0)
			switch {
			case errno == unix.EAGAIN:
				runtime.Gosched()
			case errno != 0:
				return fmt.Errorf("recvfrom: %w", errno)
			case n == 0:
				return errors.New("recvfrom: the other end is closed")
			default:
				got += int(n)
			}
		}
	}
	return nil
}

// threadCPU returns the CPU time of the calling thread in nanoseconds. Every
// Linux has this clock, so the call cannot fail.
func threadCPU() int64 {
	var ts unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts)
	return ts.Nano()
}

func median(v []float64) float64 {
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}
