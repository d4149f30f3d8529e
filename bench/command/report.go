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
	"dotsconnect/bench/internal/folder"
	"dotsconnect/bench/report"
	"dotsconnect/bench/result"
)

const reportAbout = `report: write one HTML page about runs that were made with --out. The page needs no network and can be printed.

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
		return cli.Failf(cli.Usage, "name a folder that dotsbench run --out wrote")
	case *out == "" && len(dirs) > 1:
		return cli.Failf(cli.Usage, "%d folders make one page: name its file with --out FILE", len(dirs))
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
	if err := folder.Replace(*out, page.Bytes()); err != nil {
		return cli.Failf(cli.Usage, "cannot write %s: %w", *out, withoutPath(err))
	}
	_, _ = fmt.Fprintf(stdout, "written to %s\n", *out)
	return nil
}

// resultFiles returns the result.json of a folder. If the folder has no
// result.json, it returns the result.json files of the folders in it, sorted by
// the names of the folders.
func resultFiles(dir string) ([]string, error) {
	if info, err := os.Stat(dir); err != nil {
		return nil, cli.Failf(cli.Usage, "%s: %w; name a folder that dotsbench run --out wrote", dir, withoutPath(err))
	} else if !info.IsDir() {
		return nil, cli.Failf(cli.Usage, "%s: is not a folder; name the folder that has the result.json", dir)
	}
	file := filepath.Join(dir, "result.json")
	if _, err := os.Stat(file); err == nil {
		return []string{file}, nil
	}
	// filepath.Glob would take a bracket in the name of a folder for a pattern,
	// so read the folder.
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, cli.Failf(cli.Usage, "%s: %w", dir, withoutPath(err))
	}
	var files []string
	for _, entry := range entries {
		file := filepath.Join(dir, entry.Name(), "result.json")
		if strings.HasPrefix(entry.Name(), ".") {
			continue // the folder of a run that is still being written
		}
		if _, err := os.Stat(file); err == nil {
			files = append(files, file)
		}
	}
	if len(files) == 0 {
		return nil, cli.Failf(cli.Usage, "%s: there is no result.json in it or in its folders; make one with dotsbench run SCENARIO --out DIR", dir)
	}
	return files, nil
}

// withoutPath removes the file name from an error. The callers add the name
// that the user knows; the name in the error may be that of a temporary file.
func withoutPath(err error) error {
	var p *os.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}
