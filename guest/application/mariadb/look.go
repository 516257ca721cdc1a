package mariadb

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Look finds the server, where its files lie, and what stands against a quiesce.
func (a *adapter) Look(ctx context.Context) (protocol.Server, error) {
	seen := protocol.Server{Kind: a.options.Kind}
	db, conn, err := connect(ctx, a.options)
	if err != nil {
		return seen, err
	}
	defer db.Close()
	defer conn.Close()
	var data string
	var flush int
	err = conn.QueryRowContext(ctx, "SELECT VERSION(), @@datadir, @@innodb_flush_log_at_trx_commit").Scan(&seen.Version, &data, &flush)
	switch {
	case err != nil:
		return seen, translate(err)
	case !isMariaDB(seen.Version):
		return seen, fault.New(fault.ApplicationRefused, "the server is %s, no MariaDB: wants kind mysql", seen.Version)
	}
	seen.Dirs = []string{filepath.Clean(data)}
	rows, err := conn.QueryContext(ctx, `SHOW GLOBAL VARIABLES WHERE Variable_name IN
		('innodb_data_home_dir', 'innodb_log_group_home_dir', 'innodb_undo_directory', 'log_bin_basename')`)
	if err != nil {
		return seen, translate(err)
	}
	for rows.Next() {
		var name, dir string
		if err := rows.Scan(&name, &dir); err != nil {
			rows.Close()
			return seen, translate(err)
		}
		if dir == "" {
			continue
		}
		if name == "log_bin_basename" {
			dir = filepath.Dir(dir)
		}
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(data, dir)
		}
		if dir = filepath.Clean(dir); !slices.Contains(seen.Dirs, dir) {
			seen.Dirs = append(seen.Dirs, dir)
		}
	}
	if err := rows.Err(); err != nil {
		return seen, translate(err)
	}
	if flush == 0 {
		seen.Warnings = append(seen.Warnings, "innodb_flush_log_at_trx_commit is "+strconv.Itoa(flush)+": what was committed within the last second may be missing from a set")
	}
	for _, right := range []string{"RELOAD", "PROCESS"} {
		var has bool
		err := conn.QueryRowContext(ctx, `SELECT COUNT(*) > 0 FROM information_schema.USER_PRIVILEGES
			WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AND PRIVILEGE_TYPE = ?`, right).Scan(&has)
		if err == nil && !has {
			seen.Warnings = append(seen.Warnings, "the helper's account has no right "+right+" of its own, which a quiesce needs")
		}
	}
	// An account that may not ask is on no replica that it could hold up.
	if rows, err := conn.QueryContext(ctx, "SHOW ALL SLAVES STATUS"); err == nil {
		seen.Replica = rows.Next()
		rows.Close()
	}
	if seen.Replica {
		seen.Warnings = append(seen.Warnings, "the server is a replica: it falls behind by as long as it is held")
	}
	return seen, nil
}
