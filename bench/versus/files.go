package versus

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// file is a file of a folder, and the function that writes its text.
type file struct {
	name  string
	write func(w io.Writer) error
}

// Write creates the folder dir with peers.json and peers.md. The folder appears
// with both files or not at all.
func (r *Report) Write(dir string) error {
	return writeFolder(dir, []file{{"peers.json", r.JSON}, {"peers.md", r.Markdown}}, nil)
}

// Write creates the folder dir with field.json, field.md, table.txt and a
// folder runs, which has one folder for each run.
func (r *FieldReport) Write(dir string) error {
	return writeFolder(dir, []file{{"field.json", r.JSON}, {"field.md", r.Markdown}, {"table.txt", r.Table}}, func(temp string) error {
		if err := os.Mkdir(filepath.Join(temp, "runs"), 0o755); err != nil {
			return err
		}
		for _, run := range r.raw {
			if err := run.result.Write(filepath.Join(temp, "runs", run.name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// writeFolder creates the folder dir with these files and the files that more
// writes. more may be nil. The folder appears with all files or not at all.
func writeFolder(dir string, files []file, more func(temp string) error) (err error) {
	dir = filepath.Clean(dir)
	temp, err := os.MkdirTemp(filepath.Dir(dir), "."+filepath.Base(dir)+".*")
	if err != nil {
		return fmt.Errorf("--out: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("--out: %w", err), os.RemoveAll(temp))
		}
	}()
	for _, f := range files {
		var b bytes.Buffer
		if err := f.write(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(temp, f.name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if more != nil {
		if err := more(temp); err != nil {
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// JSON writes the text of peers.json.
func (r *Report) JSON(w io.Writer) error { return writeJSON(w, r) }

// JSON writes the text of field.json.
func (r *FieldReport) JSON(w io.Writer) error { return writeJSON(w, r) }

func writeJSON(w io.Writer, what any) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(what)
}
