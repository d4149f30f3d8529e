package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
)

// build is the build information that the Go toolchain wrote into this binary.
type build struct {
	version string // a tag, or "devel"
	commit  string // empty if the binary was built outside a checkout
}

func readBuild() build {
	b := build{version: "devel"}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		b.version = v
	}
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			b.commit = s.Value[:min(12, len(s.Value))]
		case s.Key == "vcs.modified" && s.Value == "true":
			b.commit += " with changes"
		}
	}
	return b
}

func (b build) String() string {
	commit := b.commit
	if commit == "" {
		commit = "unknown"
	}
	return fmt.Sprintf("dotsd %s (commit %s) %s %s/%s", b.version, commit, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
