package duel

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// folder is the folder of --out. It is written with a hidden name in the same
// parent folder, and renamed when it is complete. So a folder with the final
// name is always complete. If the user ends the duel with Ctrl-C, the hidden
// folder is removed.
type folder struct {
	dir  string // the final name; empty: nothing is written
	temp string // the hidden name; empty: the folder was not created yet
	halt chan struct{}
}

// path returns the path below the hidden folder for a file or a folder. It
// creates the parent folders.
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

// write writes a file of the folder.
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

// drop removes the hidden folder, if keep has not renamed it.
func (f *folder) drop() {
	if f.temp == "" {
		return
	}
	close(f.halt)
	_ = os.RemoveAll(f.temp) // the duel is over, so there is nobody to whom an error could be reported
	f.temp = ""
}

// watch removes the hidden folder if SIGINT or SIGTERM arrives, and then lets
// the signal end the program. If the program was started with one of these
// signals ignored, watch ignores it too.
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
