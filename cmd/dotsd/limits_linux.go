package main

import "syscall"

// raiseFileLimit raises the soft limit of open files to the hard one: every connection is a file, and the usual soft
// limit of 1,024 is no place to stop.
//
// The Go runtime does the same before main, to one less than the hard limit: by this number it recognises its own doing
// and gives child processes the limit that it found. So that number is left alone, and only a limit that is lower still
// (the runtime was refused) is raised here, which is then for the children as well.
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
