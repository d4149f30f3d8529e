package command

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"dotsconnect/bench/internal/cli"
	"dotsconnect/bench/report"
	"dotsconnect/bench/result"
)

const reportAbout = `report: one page of HTML of runs that were made with --out; it opens without a network and prints.

  dotsbench report results/rooms                        writes results/rooms/report.html
  dotsbench report results                              all runs in it, with a table on top: results/report.html
  dotsbench report before after --out comparison.html`

func reportCommand(args []string, stdout, _ io.Writer) error {
	fs := flag.NewFlagSet("report", flag.ContinueOnError)
	out := fs.String("out", "", "`FILE` to write; by default DIR/report.html")
	dirs, err := cli.ParseWords(fs, args, stdout, reportAbout)
	switch {
	case err != nil:
		return err
	case len(dirs) == 0:
		return cli.Failf(cli.Usage, "want a folder that dotsbench run --out has written")
	case *out == "" && len(dirs) > 1:
		return cli.Failf(cli.Usage, "%d folders make one page: say where with --out FILE", len(dirs))
	case *out == "":
		*out = filepath.Join(dirs[0], "report.html")
	}
	var results []*result.Result
	for _, dir := range dirs {
		files, err := resultFiles(dir)
		if err != nil {
			return err
		}
		for _, file := range files {
			r, err := result.Load(file)
			if err != nil {
				return err
			}
			results = append(results, r)
		}
	}
	var page bytes.Buffer
	if err := report.HTML(&page, results...); err != nil {
		return err
	}
	if err := replaceFile(*out, page.Bytes()); err != nil {
		return cli.Failf(cli.Usage, "cannot write %s: %w", *out, withoutPath(err))
	}
	_, _ = fmt.Fprintf(stdout, "written to %s\n", *out)
	return nil
}

// resultFiles are the results of a folder: its own, or else those of the folders
// in it, by name.
func resultFiles(dir string) ([]string, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, cli.Failf(cli.Usage, "%s: %w; name a folder that dotsbench run --out has written", dir, withoutPath(err))
	} else if !info.IsDir() {
		return nil, cli.Failf(cli.Usage, "%s: is not a folder; name the one that has the result.json", dir)
	}
	file := filepath.Join(dir, "result.json")
	if _, err := os.Stat(file); err == nil {
		return []string{file}, nil
	}
	// Not filepath.Glob, to which a bracket in the name of a folder is a pattern.
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%s: %w", dir, withoutPath(err))
	}
	var files []string
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name(), "result.json")
		if strings.HasPrefix(entry.Name(), ".") {
			continue // a run that is being written
		}
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		return nil, cli.Failf(cli.Usage, "%s: has no result.json, nor has a folder in it; make one with dotsbench run SCENARIO --out DIR", dir)
	}
	return files, nil
}

// replaceFile writes a file whole or not at all: who has the old one open goes
// on reading the old one.
func replaceFile(name string, content []byte) (err error) {
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		return errors.New("it is a folder; name a file")
	}
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(content)
	if err == nil {
		err = f.Chmod(0o644)
	}
	if closeErr := f.Close(); err == nil {
		err = closeErr
	}
	if err == nil {
		err = os.Rename(f.Name(), name)
	}
	return err
}

// withoutPath is an error of a file without the name of the file, which the line
// has already, or has better than a temporary one.
func withoutPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
