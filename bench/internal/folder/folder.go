// Package folder writes the folders of --out, and single files, so that a reader
// sees them complete or not at all.
package folder

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"dotsconnect/bench/internal/cli"
)

// File is a file of a folder.
type File struct {
	Name  string
	Write func(w io.Writer) error
}

// Folder is written with a hidden name in the same parent folder, and renamed
// when it is complete.
type Folder struct {
	Dir string // the final name

	temp string // the hidden name; empty: the folder was not created yet
	halt chan struct{}
}

// Write creates the folder dir with these files. more may add further files and
// folders; it may be nil.
func Write(dir string, files []File, more func(f *Folder) error) error {
	f := &Folder{Dir: dir}
	defer f.Drop()
	for _, one := range files {
		if err := f.Write(one); err != nil {
			return err
		}
	}
	if more != nil {
		if err := more(f); err != nil {
			return err
		}
	}
	return f.Keep()
}

// Path returns the path below the hidden folder for a file or a folder. It
// creates the parent folders.
func (f *Folder) Path(elements ...string) (string, error) {
	if f.temp == "" {
		dir := filepath.Clean(f.Dir)
		temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
		if err != nil {
			return "", fmt.Errorf("--out: %w", err)
		}
		f.temp = temp
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

// Write writes a file of the folder.
func (f *Folder) Write(one File) error {
	var b bytes.Buffer
	if err := one.Write(&b); err != nil {
		return fmt.Errorf("--out: %s: %w", one.Name, err)
	}
	path, err := f.Path(one.Name)
	if err != nil {
		return err
	}
	if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// Keep renames the folder to its final name.
func (f *Folder) Keep() error {
	if err := os.Rename(f.temp, filepath.Clean(f.Dir)); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	f.Drop()
	return nil
}

// Drop removes the hidden folder, if Keep has not renamed it.
func (f *Folder) Drop() {
	if f.halt != nil {
		close(f.halt)
		f.halt = nil
	}
	if f.temp != "" {
		_ = os.RemoveAll(f.temp) // there is nobody to whom an error could be reported
		f.temp = ""
	}
}

// RemoveOnSignal creates the hidden folder. If SIGINT or SIGTERM arrives before
// Keep or Drop, it removes the folder and lets the signal end the program. If
// the program was started with one of these signals ignored, it is ignored here
// too.
func (f *Folder) RemoveOnSignal() error {
	temp, err := f.Path()
	if err != nil || f.halt != nil {
		return err
	}
	halt := make(chan struct{})
	f.halt = halt
	signals := make(chan os.Signal, 1)
	for _, s := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		if !signal.Ignored(s) {
			signal.Notify(signals, s)
		}
	}
	go func() {
		defer signal.Stop(signals)
		select {
		case <-halt:
		case s := <-signals:
			_ = os.RemoveAll(temp)
			signal.Reset(os.Interrupt, syscall.SIGTERM)
			_ = syscall.Kill(os.Getpid(), s.(syscall.Signal))
		}
	}()
	return nil
}

// Check checks before a run that the folder dir can be created. It creates a
// temporary folder in the nearest existing parent folder of dir, and removes it
// again.
func Check(dir string) error {
	if _, err := os.Stat(dir); err == nil {
		return cli.Failf(cli.Usage, "--out %s: exists already; name a new folder, or remove this one", dir)
	} else if !errors.Is(err, os.ErrNotExist) {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	place := filepath.Dir(filepath.Clean(dir))
	for ; place != filepath.Dir(place); place = filepath.Dir(place) {
		if _, err := os.Stat(place); err == nil {
			break
		}
	}
	temp, err := os.MkdirTemp(place, "."+filepath.Base(dir)+".*")
	if err == nil {
		err = os.Remove(temp)
	}
	if err != nil {
		return cli.Failf(cli.Usage, "--out: %w", err)
	}
	return nil
}

// MakePlace creates the parent folders of dir. Call it only when there are
// files to write, so that a command that fails leaves no empty folder behind.
func MakePlace(dir string) error {
	if err := os.MkdirAll(filepath.Dir(filepath.Clean(dir)), 0o755); err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	return nil
}

// Replace replaces a file atomically: a reader sees the old content or the new
// content, but never a part of it.
func Replace(name string, content []byte) error {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return errors.New("is a folder; name a file")
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return errors.Join(err, os.Remove(f.Name()))
	}
	return nil
}

// JSON writes a value as the text of a JSON file.
func JSON(w io.Writer, what any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(what)
}
