package duel

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// folder is the folder of --out. It is written under a hidden name beside its
// place and renamed when it is complete, so that a folder with the final name
// is always complete. A duel takes minutes, and a user may well press Ctrl-C:
// then the hidden folder is removed.
type folder struct {
	dir  string // empty: nothing is written
	temp string // empty: nothing was written yet
	halt chan struct{}
}

// path returns where to write a part.
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

// write writes a file.
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

// keep renames the folder to its final name.
func (f *folder) keep() error {
	if err := os.Rename(f.temp, filepath.Clean(f.dir)); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	f.drop()
	return nil
}

// drop removes a folder that was not kept.
func (f *folder) drop() {
	if f.temp == "" {
		return
	}
	close(f.halt)
	_ = os.RemoveAll(f.temp) // nobody could see the error
	f.temp = ""
}

// watch removes the folder when the program gets a signal to end. A signal
// that the program was started to ignore stays ignored.
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
