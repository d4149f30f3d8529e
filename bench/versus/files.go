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

// Write writes peers.json and peers.md into a folder that comes to be with both
// of them in it, or not at all.
func (r *Report) Write(dir string) (err error) {
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
	for _, f := range []struct {
		name  string
		write func(w io.Writer) error
	}{{"peers.json", r.JSON}, {"peers.md", r.Markdown}} {
		var b bytes.Buffer
		if err := f.write(&b); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(temp, f.name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	return os.Rename(temp, dir)
}

// JSON writes peers.json.
func (r *Report) JSON(w io.Writer) error {
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	return enc.Encode(r)
}
