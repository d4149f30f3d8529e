package main

import "syscall"

// raiseFileLimit raises the soft limit of open files to the hard limit: every connection is a file, and the usual soft
// limit of 1,024 is too low.
//
// The Go runtime does the same before main, but to one less than the hard limit. By this number it recognises later
// that it has changed the limit, and gives child processes the original limit. So this function leaves that number
// unchanged. It raises only a limit that is still lower because the runtime was refused; child processes then inherit
// the raised limit.
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
