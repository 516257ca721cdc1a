package postgresql

import (
	"context"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
)

// label is what a backup is called in its backup_label.
const label = "quiesce"

// checkpoint flushes the WAL and all dirty pages, and sees in the control file
// that recovery would start no earlier than where the WAL was before: a command
// that returned is not taken for one that worked. A standby makes a restart
// point, if its primary's last checkpoint allows one; that is not proved.
func (s *session) checkpoint(ctx context.Context, limit time.Duration) error {
	if err := s.noExclusive(ctx); err != nil {
		return err
	}
	if s.standby {
		_, err := s.row(ctx, limit, "CHECKPOINT")
		return refused(err, "making a restart point in %v", limit)
	}
	before, err := s.row(ctx, proofLimit, "SELECT pg_current_wal_insert_lsn()")
	if err != nil {
		return refused(err, "reading where the WAL is")
	}
	if _, err := s.row(ctx, limit, "CHECKPOINT"); err != nil {
		return refused(err, "making a checkpoint in %v", limit)
	}
	after, err := s.row(ctx, proofLimit, "SELECT redo_lsn >= $1::pg_lsn, redo_lsn FROM pg_control_checkpoint()", before[0])
	if err != nil {
		return refused(err, "reading the control file")
	}
	if after[0] != "t" {
		return fault.New(fault.ApplicationRefused, "the checkpoint returned, but the control file says %s and the WAL was at %s before",
			after[1], before[0])
	}
	return nil
}

// noExclusive refuses a server in an exclusive backup of somebody else's: the
// backup_label in its data folder would be in the set, and no restore of it
// would start by itself.
func (s *session) noExclusive(ctx context.Context) error {
	if s.major >= exclusiveGone {
		return nil
	}
	got, err := s.row(ctx, proofLimit, "SELECT pg_is_in_backup()")
	if err != nil {
		return refused(err, "looking for an exclusive backup")
	}
	if got[0] == "t" {
		return fault.New(fault.ApplicationBusy, "an exclusive backup is in progress, whose backup_label would be in the set")
	}
	return nil
}

// startBackup starts an online backup by a checkpoint at full speed. Any other
// session may have one of its own at the same time.
func (s *session) startBackup(ctx context.Context, limit time.Duration) error {
	if err := s.noExclusive(ctx); err != nil {
		return err
	}
	start := "SELECT pg_backup_start($1, true)"
	if s.major < exclusiveGone {
		start = "SELECT pg_start_backup($1, true, false)"
	}
	got, err := s.row(ctx, limit, start, label)
	if err != nil {
		return refused(err, "starting a backup in %v", limit)
	}
	s.backup = got[0]
	return nil
}

// stopBackup ends the backup without waiting for its WAL to be archived, which
// may take as long as the archive is away.
func (s *session) stopBackup(ctx context.Context) (map[string]string, error) {
	stop := "SELECT labelfile, spcmapfile FROM pg_backup_stop(false)"
	if s.major < exclusiveGone {
		stop = "SELECT labelfile, spcmapfile FROM pg_stop_backup(false, false)"
	}
	got, err := s.row(ctx, stopLimit, stop)
	if err != nil {
		return nil, refused(err, "stopping the backup that began at %s", s.backup)
	}
	files := map[string]string{"backup_label": got[0]}
	if got[1] != "" {
		files["tablespace_map"] = got[1]
	}
	return files, nil
}

// identify asks the server for the name of this session.
func (s *session) identify(ctx context.Context) (identity, error) {
	got, err := s.row(ctx, proofLimit, `SELECT pid, extract(epoch FROM backend_start), extract(epoch FROM pg_postmaster_start_time())
		FROM pg_stat_activity WHERE pid = pg_backend_pid()`)
	if err != nil {
		return identity{}, err
	}
	return identity{got[0], got[1], got[2]}, nil
}

// dirs are the folders of data, WAL and tablespaces, without those inside of
// another, by their real paths where this process can see them.
func (s *session) dirs(ctx context.Context) ([]string, error) {
	got, err := s.row(ctx, proofLimit, `SELECT current_setting('data_directory'),
		string_agg(pg_tablespace_location(oid), E'\n') FILTER (WHERE pg_tablespace_location(oid) <> '') FROM pg_tablespace`)
	if err != nil {
		return nil, refused(err, "asking for the server's folders")
	}
	data := got[0]
	list := []string{resolved(data)}
	for _, dir := range append([]string{filepath.Join(data, "pg_wal")}, lines(got[1])...) {
		dir = resolved(dir)
		if !slices.ContainsFunc(list, func(above string) bool { return within(dir, above) }) {
			list = append(list, dir)
		}
	}
	return list, nil
}

func resolved(dir string) string {
	if to, err := filepath.EvalSymlinks(dir); err == nil {
		return to
	}
	return dir
}

func within(dir, above string) bool {
	rel, err := filepath.Rel(above, dir)
	return err == nil && filepath.IsLocal(rel)
}

func lines(text string) (list []string) {
	for line := range strings.Lines(text) {
		list = append(list, filepath.Clean(strings.TrimSuffix(line, "\n")))
	}
	return list
}
