package client

import (
	"math"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// read and send make the system call without telling the Go scheduler. The
// scheduler need not know about these calls: the sockets are non-blocking, so
// the calls return at once. If read and send told the scheduler, the loop could
// lose its processor to another goroutine at each call.

func read(fd int32, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	return int(n), errno
}

func send(fd int32, b []byte) (int, unix.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
	return int(n), errno
}

// epollWait waits for at most timeout nanoseconds. It uses epoll_pwait2 (Linux
// 5.11), whose timeout is in nanoseconds. The timeout of epoll_wait is in
// milliseconds, so each scheduled send would be half a millisecond late on
// average.
func epollWait(ep int, events []unix.EpollEvent, timeout int64) (int, error) {
	timeout = max(timeout, 0)
	ts := unix.NsecToTimespec(timeout)
	n, _, errno := unix.Syscall6(unix.SYS_EPOLL_PWAIT2, uintptr(ep),
		uintptr(unsafe.Pointer(unsafe.SliceData(events))), uintptr(len(events)),
		uintptr(unsafe.Pointer(&ts)), 0, 0)
	switch errno {
	case 0:
		return int(n), nil
	case unix.EINTR:
		return 0, nil
	case unix.ENOSYS:
		return epollWaitMillis(ep, events, timeout)
	}
	return 0, errno
}

func epollWaitMillis(ep int, events []unix.EpollEvent, wait int64) (int, error) {
	ms := (wait + int64(time.Millisecond) - 1) / int64(time.Millisecond)
	n, err := unix.EpollWait(ep, events, int(min(ms, math.MaxInt32)))
	if err == unix.EINTR {
		return 0, nil
	}
	return n, err
}
