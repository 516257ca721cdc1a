package postgresql

import (
	"context"
	"fmt"
	"os/user"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// mostFindings of a cluster are told.
const mostFindings = 8

func (s *second) account() string {
	if u, err := user.LookupId(strconv.FormatUint(uint64(s.As.UID), 10)); err == nil {
		return u.Username
	}
	return "postgres"
}

// look reads every row of every table of every database, and lets pg_amcheck
// look at tables and indexes where it is installed.
func (s *second) look(ctx context.Context) error {
	rows, err := s.query(ctx, "postgres", "SELECT datname, pg_is_in_recovery() FROM pg_database WHERE datallowconn ORDER BY 1")
	if err != nil {
		return s.broken(ctx, "the list of databases", err)
	}
	tables := 0
	for _, row := range rows {
		n, err := s.count(ctx, row[0])
		if err != nil {
			return err
		}
		tables += n
	}
	s.known.Checked = fmt.Sprintf("every row of %d tables in %d databases", tables, len(rows))
	if len(s.known.Findings) == 0 {
		return s.amcheck(ctx, rows[0][1] == "t")
	}
	return nil
}

// count reads every row of every table, and so every page of each.
func (s *second) count(ctx context.Context, database string) (tables int, err error) {
	conn, err := s.connect(ctx, database)
	if err != nil {
		return 0, s.broken(ctx, "database "+database, err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	list, err := rowsOf(ctx, conn, `SELECT format('%I.%I', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
		WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p' ORDER BY 1`)
	if err != nil {
		return 0, s.broken(ctx, "the tables of "+database, err)
	}
	for _, row := range list {
		if _, err := rowsOf(ctx, conn, "SELECT count(*) FROM ONLY "+row[0]); err != nil {
			if err := s.broken(ctx, database+"."+row[0], err); err != nil || conn.IsClosed() {
				return tables, err
			}
			if len(s.known.Findings) >= mostFindings {
				return tables, nil
			}
		}
		tables++
	}
	return tables, nil
}

// broken makes a finding of an error, unless it is the limit's.
func (s *second) broken(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	s.finding("%s: %v", what, err)
	return nil
}

// amcheck changes a copy that is nobody's by its extension, and no other.
func (s *second) amcheck(ctx context.Context, standby bool) error {
	program := s.bin + "/pg_amcheck"
	if !executable(program) {
		return nil
	}
	args := []string{"-h", s.Dir, "-p", "5432", "-U", s.role, "--all", "--no-password", "--heapallindexed"}
	if !s.c.Keep && !standby {
		args = append(args, "--install-missing")
	}
	said, err := s.Spec(program, args...).Run(ctx)
	switch {
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err == nil:
		s.known.Checked += ", pg_amcheck"
	case strings.Contains(said, "no relations to check") || strings.Contains(said, "is not available") || strings.Contains(said, "amcheck is not installed"):
		// its extension is in no database, or not on this machine
	default:
		lines := strings.Split(said, "\n")
		for _, line := range lines[:min(len(lines), mostFindings)] {
			s.finding("pg_amcheck: %s", strings.TrimSpace(line))
		}
	}
	return nil
}

func (s *second) query(ctx context.Context, database, sql string) ([][]string, error) {
	conn, err := s.connect(ctx, database)
	if err != nil {
		return nil, err
	}
	defer conn.Close(context.WithoutCancel(ctx))
	return rowsOf(ctx, conn, sql)
}

// rowsOf returns the rows of the last command, as texts.
func rowsOf(ctx context.Context, conn *pgconn.PgConn, sql string) (rows [][]string, err error) {
	results, err := conn.Exec(ctx, sql).ReadAll()
	if err != nil {
		return nil, err
	}
	for _, fields := range results[len(results)-1].Rows {
		row := make([]string, len(fields))
		for i, f := range fields {
			row[i] = string(f)
		}
		rows = append(rows, row)
	}
	return rows, nil
}
