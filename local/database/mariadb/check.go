package mariadb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/guest/application/mysqld"
	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/run"
)

// startLimit is how long a server may recover before it counts as broken.
const startLimit = 60 * time.Second

// Check starts a second server. Engines without transactions are promised to be
// whole only where the server was at rest: what else becomes of them is noted.
func (s *Server) Check(ctx context.Context, p database.Place, proved run.Consistency) (checked database.Checked, err error) {
	second := &Server{Args: s.Args, own: map[int64]bool{}}
	limited, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	began := time.Now()
	if err := second.launch(limited, p, "restored"); err != nil {
		if ctx.Err() != nil {
			return checked, err
		}
		checked.Findings = append(checked.Findings, err.Error())
		return checked, nil
	}
	checked.RecoveryMs = float64(time.Since(began).Microseconds()) / 1000
	defer func() { err = errors.Join(err, second.Stop(ctx)) }()
	for i, t := range tables {
		whole := t.transactions || proved == run.Application
		contents, problems, err := second.read(ctx, t.name)
		if ctx.Err() != nil {
			return checked, err
		}
		if err != nil { // a server that ends over a table is broken by it
			problems = append(problems, fmt.Sprintf("%s: %v", t.name, err))
		}
		if whole {
			checked.Findings = append(checked.Findings, problems...)
			// Two of one transaction are there together or not at all.
			paired := i > 0 && t.transactions && tables[i-1].transactions
			checked.Tables = append(checked.Tables, ledger.Volume{Name: t.name, Contents: contents, Paired: paired})
			continue
		}
		checked.Notes = append(checked.Notes, problems...)
		if n := len(contents.Records); len(checked.Tables) > 0 && n < len(checked.Tables[0].Contents.Records)-1 {
			checked.Notes = append(checked.Notes, fmt.Sprintf("%s has %d records, %s %d", t.name, n, checked.Tables[0].Name, len(checked.Tables[0].Contents.Records)))
		}
	}
	return checked, nil
}

// read lets the server check a table and its noise, and reads its records. What
// the server cannot read is a problem of the table, not of the check.
func (s *Server) read(ctx context.Context, table string) (c ledger.Contents, problems []string, err error) {
	for _, t := range []string{table, "noise_" + table} {
		said, err := s.check(ctx, t)
		if err != nil {
			return c, nil, err
		}
		problems = append(problems, said...)
	}
	rows, err := s.admin.QueryContext(ctx, fmt.Sprintf("SELECT n, issued FROM %s.%s ORDER BY n", schema, table))
	if err != nil {
		return c, append(problems, fmt.Sprintf("%s: %v", table, err)), nil
	}
	defer rows.Close()
	for rows.Next() {
		var r ledger.Record
		if err := rows.Scan(&r.N, &r.Issued); err != nil {
			return c, nil, err
		}
		c.Records = append(c.Records, r)
	}
	if err := rows.Err(); err != nil {
		problems = append(problems, fmt.Sprintf("%s: %v", table, err))
	}
	return c, problems, nil
}

// check is the server's own check of a table, in the form that reads all of it:
// a remark counts, for nothing happened to it that would explain one.
func (s *Server) check(ctx context.Context, table string) (problems []string, err error) {
	wrong, warned, err := mysqld.CheckTable(ctx, s.admin, schema+"."+table)
	for _, said := range append(wrong, warned...) {
		problems = append(problems, fmt.Sprintf("%s: CHECK TABLE says %s", table, said))
	}
	return problems, err
}
