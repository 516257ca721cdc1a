package mysqld

import (
	"context"
	"path/filepath"
	"slices"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Behind is what a replica suffers whose writes are held.
const Behind = "the server is a replica: it falls behind by as long as it is held"

// Look describes the server: its folders, and what stands against a quiesce.
// Rights are those that a quiesce needs; replicas are the statements, newest
// first, that list whom the server follows. What a replica suffers by a hold
// depends on the hold, and is left to be said.
func (s *Session) Look(ctx context.Context, rights, replicas []string) (protocol.Server, error) {
	seen := protocol.Server{Kind: s.options.Kind, Version: s.Version}
	var data string
	var flush int
	if err := s.conn.QueryRowContext(ctx, "SELECT @@datadir, @@innodb_flush_log_at_trx_commit").Scan(&data, &flush); err != nil {
		return seen, Translate(err)
	}
	seen.Dirs = []string{filepath.Clean(data)}
	if err := s.folders(ctx, data, &seen); err != nil {
		return seen, err
	}
	if flush == 0 {
		seen.Warnings = append(seen.Warnings, "innodb_flush_log_at_trx_commit is 0: what was committed within the last second may be missing from a set")
	}
	for _, right := range rights {
		var has bool
		err := s.conn.QueryRowContext(ctx, `SELECT COUNT(*) > 0 FROM information_schema.USER_PRIVILEGES
			WHERE GRANTEE = CONCAT('''', REPLACE(CURRENT_USER(), '@', '''@'''), '''') AND PRIVILEGE_TYPE = ?`, right).Scan(&has)
		if err == nil && !has {
			seen.Warnings = append(seen.Warnings, "the helper's account has no right "+right+" of its own, which a quiesce needs")
		}
	}
	for _, statement := range replicas {
		// An account that may not ask is on no replica that it could hold up.
		if rows, err := s.conn.QueryContext(ctx, statement); err == nil {
			seen.Replica = rows.Next()
			rows.Close()
			break
		}
	}
	return seen, nil
}

// folders adds those that the server's files may lie in besides its data's.
func (s *Session) folders(ctx context.Context, data string, seen *protocol.Server) error {
	rows, err := s.conn.QueryContext(ctx, `SHOW GLOBAL VARIABLES WHERE Variable_name IN ('innodb_data_home_dir',
		'innodb_log_group_home_dir', 'innodb_undo_directory', 'innodb_doublewrite_dir', 'log_bin_basename')`)
	if err != nil {
		return Translate(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name, dir string
		if err := rows.Scan(&name, &dir); err != nil {
			return fault.Wrap(fault.ApplicationRefused, err, "the server's folders")
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
	return Translate(rows.Err())
}
