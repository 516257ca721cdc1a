package mysql

import (
	"fmt"
	"os"
	"path/filepath"
)

// unsafe are the engines whose tables do not recover from a power cut to their
// last commit, by the files that they keep. The files tell it of every table,
// while the server tells an account of those alone that it may read.
var unsafe = map[string]string{".MYD": "MyISAM", ".CSV": "CSV", ".ARZ": "ARCHIVE"}

// own are the server's schemas, whose tables of such engines are logs.
var own = map[string]bool{"mysql": true, "performance_schema": true, "sys": true}

// unsafeTable finds a table of such an engine; empty if there is none.
func unsafeTable(datadir string) (string, error) {
	schemas, err := os.ReadDir(datadir)
	if err != nil {
		return "", err
	}
	for _, schema := range schemas {
		dir := filepath.Join(datadir, schema.Name())
		if info, err := os.Stat(dir); err != nil || !info.IsDir() || own[schema.Name()] {
			continue
		}
		files, err := os.ReadDir(dir)
		if err != nil {
			return "", err
		}
		for _, f := range files {
			extension := filepath.Ext(f.Name())
			if engine, is := unsafe[extension]; is {
				name := f.Name()[:len(f.Name())-len(extension)]
				return fmt.Sprintf("%s.%s (%s)", schema.Name(), name, engine), nil
			}
		}
	}
	return "", nil
}
