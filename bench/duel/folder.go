package duel

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// folder is what --out will be: it grows beside its place under a hidden name
// and takes its name when all is in it, so that a folder by that name is always
// whole. A duel takes minutes, in which a person may well press Ctrl-C: then it
// goes away too.
type folder struct {
	dir  string // empty: nothing is to be written
	temp string // empty: nothing has been written yet
	halt chan struct{}
}

// path is where a part is to be written.
func (f *folder) path(elements ...string) (string, error) {
	if f.temp == "" {
		dir := filepath.Clean(f.dir)
		temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
		if err != nil {
			return "", fmt.Errorf("--out: %w", err)
		}
		f.temp, f.halt = temp, make(chan struct{})
		go watch(temp, f.halt)
		if err := os.Chmod(temp, 0o755); err != nil {
			return "", fmt.Errorf("--out: %w", err)
		}
	}
	path := filepath.Join(append([]string{f.temp}, elements...)...)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return "", fmt.Errorf("--out: %w", err)
	}
	return path, nil
}

// write makes a file.
func (f *folder) write(name string, text []byte) error {
	path, err := f.path(name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, text, 0o644); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// keep gives the folder its name.
func (f *folder) keep() error {
	if err := os.Rename(f.temp, filepath.Clean(f.dir)); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	f.drop()
	return nil
}

// drop removes what was not kept.
func (f *folder) drop() {
	if f.temp == "" {
		return
	}
	close(f.halt)
	_ = os.RemoveAll(f.temp) // there is nobody left to tell
	f.temp = ""
}

// watch removes the folder when the program is told to end, and lets it end. A
// signal that the program was started to ignore stays ignored.
func watch(temp string, halt <-chan struct{}) {
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	defer signal.Stop(signals)
	select {
	case <-halt:
	case s := <-signals:
		_ = os.RemoveAll(temp)
		signal.Reset(os.Interrupt, syscall.SIGTERM)
		_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
	}
}
