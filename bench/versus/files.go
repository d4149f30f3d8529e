package versus

import (
	"io"
	"path/filepath"

	"dotsconnect/bench/internal/folder"
)

// Write creates the folder dir with peers.json and peers.md. The folder appears
// with both files or not at all.
func (r *Report) Write(dir string) error {
	return folder.Write(dir, []folder.File{{Name: "peers.json", Write: r.JSON}, {Name: "peers.md", Write: r.Markdown}}, nil)
}

// Write creates the folder dir with field.json, field.md, table.txt and a
// folder runs, which has one folder for each run.
func (r *FieldReport) Write(dir string) error {
	files := []folder.File{{Name: "field.json", Write: r.JSON}, {Name: "field.md", Write: r.Markdown}, {Name: "table.txt", Write: r.Table}}
	return folder.Write(dir, files, func(f *folder.Folder) error {
		for _, run := range r.raw {
			path, err := f.Path(filepath.Join("runs", run.name))
			if err != nil {
				return err
			}
			if err := run.result.Write(path); err != nil {
				return err
			}
		}
		return nil
	})
}

// JSON writes the text of peers.json.
func (r *Report) JSON(w io.Writer) error { return folder.JSON(w, r) }

// JSON writes the text of field.json.
func (r *FieldReport) JSON(w io.Writer) error { return folder.JSON(w, r) }
