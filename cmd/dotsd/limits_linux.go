package main

import "syscall"

// raiseFileLimit raises the soft limit of open files to the hard limit. Every connection is an open file, and the usual soft
// limit of 1,024 is too low.
//
// The Go runtime also raises the soft limit before main, but to one less than the hard limit. When the runtime later finds this
// number, the runtime knows that it has changed the limit itself, and gives child processes the original limit. So raiseFileLimit
// leaves that number unchanged. It raises a limit only if the runtime could not; child processes then inherit the raised limit.
func raiseFileLimit() error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return err
	}
	if limit.Max == 0 || limit.Cur >= limit.Max-1 {
		return nil
	}
	limit.Cur = limit.Max
	return syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
}
