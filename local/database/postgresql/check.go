package postgresql

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/run"
)

// startLimit is how long a server may recover before it counts as broken.
const startLimit = 60 * time.Second

// Check starts a second server, without anything but the volumes: it recovers
// as after a crash. All that was committed is promised by every set that is one
// point in time, whatever was proved besides.
func (d *Database) Check(ctx context.Context, p database.Place, _ run.Consistency) (checked database.Checked, err error) {
	second, spaces := d.over(p)
	if err := Relocate(second, spaces); err != nil {
		return checked, err
	}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	began := time.Now()
	err = second.Start(limited)
	checked.RecoveryMs = float64(time.Since(began).Microseconds()) / 1000
	defer func() {
		ended, cancel := context.WithTimeout(ctx, stopLimit)
		defer cancel()
		if err = errors.Join(err, second.Stop(ended)); err == nil && len(checked.Findings) == 0 {
			if _, broken := second.program("pg_checksums", "--check", "-D", second.Data).Run(ctx); broken != nil {
				checked.Findings = append(checked.Findings, broken.Error())
			}
		}
	}()
	if err != nil {
		if ctx.Err() != nil {
			return checked, err
		}
		checked.Findings = append(checked.Findings, err.Error())
		return checked, nil
	}
	for _, t := range tables {
		contents, err := second.records(ctx, t.name)
		if err != nil {
			checked.Findings = append(checked.Findings, fmt.Sprintf("%s: %v", t.name, err))
			continue
		}
		checked.Tables = append(checked.Tables, ledger.Volume{Name: t.name, Contents: contents, Paired: t.paired})
	}
	rows, err := second.Query(ctx, "SELECT count(*) FROM unlogged")
	switch {
	case err != nil:
		checked.Findings = append(checked.Findings, err.Error())
	case rows[0][0] == "0":
		checked.Notes = append(checked.Notes, "the unlogged table is empty, as after any crash")
	}
	_, err = second.program("pg_amcheck", "-h", second.Dir, "-p", port, "-U", client, "-d", "postgres",
		"--install-missing", "--heapallindexed", "--parent-check", "--rootdescend").Run(ctx)
	if err != nil {
		checked.Findings = append(checked.Findings, err.Error())
	}
	return checked, nil
}

// Relocate makes a restored cluster of one that knows where its folders are
// now: the links in it name those of the server that it was taken of.
func Relocate(s *Server, spaces []string) error {
	if err := os.Remove(filepath.Join(s.Data, "postmaster.pid")); err != nil && !os.IsNotExist(err) {
		return err
	}
	if err := relink(filepath.Join(s.Data, "pg_wal"), s.Log); err != nil {
		return err
	}
	links, err := filepath.Glob(filepath.Join(s.Data, "pg_tblspc", "*"))
	if err != nil {
		return err
	}
	for _, link := range links {
		from, err := os.Readlink(link)
		if err != nil {
			return err
		}
		for _, space := range spaces {
			if inVolume(from) == inVolume(space) {
				err = relink(link, space)
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// inVolume is a folder's path from its volume's mount point on.
func inVolume(folder string) string {
	return filepath.Join(filepath.Base(filepath.Dir(folder)), filepath.Base(folder))
}

func relink(link, to string) error {
	if err := os.Remove(link); err != nil {
		return err
	}
	return os.Symlink(to, link)
}

// records reads a table in order.
func (s *Server) records(ctx context.Context, table string) (c ledger.Contents, err error) {
	rows, err := s.Query(ctx, "SELECT n, issued FROM "+table+" ORDER BY n")
	if err != nil {
		return c, err
	}
	for _, row := range rows {
		n, nerr := strconv.ParseUint(row[0], 10, 64)
		issued, ierr := strconv.ParseInt(row[1], 10, 64)
		if err := errors.Join(nerr, ierr); err != nil {
			return c, fmt.Errorf("%s: %w", strings.Join(row, " "), err)
		}
		c.Records = append(c.Records, ledger.Record{N: n, Issued: issued})
	}
	return c, nil
}
