package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/ledger"
)

const schema = "quiesce"

// tables hold the numbered records, in writing order: two in one transaction,
// then one in each of the engines that have none.
var tables = []struct {
	name, engine string
	transactions bool
}{
	{"debit", "InnoDB", true}, {"credit", "InnoDB", true},
	{"aria", "Aria TRANSACTIONAL=1", false}, {"myisam", "MyISAM", false},
}

const (
	noiseRows = 512
	noiseSize = 3000
)

// load is what writes to the server, with the connections it writes on.
type load struct {
	database.Writing
	dbs []*sql.DB
}

// Load makes the tables and starts the writers: one of numbered records, one
// that keeps pages of every engine dirty.
func (s *Server) Load(ctx context.Context) error {
	if err := s.mine(ctx, s.admin); err != nil {
		return err
	}
	statements := []string{"CREATE DATABASE " + schema}
	for _, t := range tables {
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s.%s (n BIGINT UNSIGNED PRIMARY KEY, issued BIGINT NOT NULL) ENGINE=%s", schema, t.name, t.engine))
		statements = append(statements, fmt.Sprintf("CREATE TABLE %s.noise_%s (n INT PRIMARY KEY, body VARBINARY(%d), KEY (body(16))) ENGINE=%s", schema, t.name, noiseSize, t.engine))
	}
	for _, q := range statements {
		if _, err := s.admin.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("%s: %w", q, err)
		}
	}
	s.load = &load{}
	for _, write := range []func(context.Context, *sql.DB) error{s.load.records, noise} {
		db, err := s.load.open(ctx, s)
		if err != nil {
			_, ended := s.load.end()
			return errors.Join(err, ended)
		}
		s.load.Go(func(ctx context.Context) error { return cut(ctx, write(ctx, db)) })
	}
	return s.load.Begun(ctx)
}

// open opens a connection for the load's own use.
func (l *load) open(ctx context.Context, s *Server) (*sql.DB, error) {
	db, err := s.connect(schema)
	if err != nil {
		return nil, err
	}
	l.dbs = append(l.dbs, db)
	return db, s.mine(ctx, db)
}

// cut forgives the error of a statement that was cut off by the load's end.
func cut(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

func (l *load) end() ([]ledger.Ack, error) {
	acks, err := l.End()
	for _, db := range l.dbs {
		err = errors.Join(err, db.Close())
	}
	return acks, err
}

// records writes one numbered record after the other and notes each
// acknowledgement.
func (l *load) records(ctx context.Context, db *sql.DB) error {
	for n := uint64(1); ctx.Err() == nil; n++ {
		mono, _ := ledger.MonotonicClock()
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		for i, t := range tables {
			insert := "INSERT INTO " + t.name + " VALUES (?, ?)"
			if t.transactions {
				_, err = tx.ExecContext(ctx, insert, n, mono)
			} else {
				_, err = db.ExecContext(ctx, insert, n, mono)
			}
			if err == nil && t.transactions && !tables[i+1].transactions {
				err = tx.Commit()
			}
			if err != nil {
				return fmt.Errorf("record %d into %s: %w", n, t.name, errors.Join(err, tx.Rollback()))
			}
		}
		l.Ack(n, mono)
	}
	return nil
}

// noise writes rows of every engine over and over.
func noise(ctx context.Context, db *sql.DB) error {
	body := make([]byte, noiseSize)
	for ctx.Err() == nil {
		for i := range body {
			body[i] = byte(rand.Uint32())
		}
		for _, t := range tables {
			if _, err := db.ExecContext(ctx, "REPLACE INTO noise_"+t.name+" VALUES (?, ?)", rand.IntN(noiseRows), body); err != nil {
				return err
			}
		}
	}
	return nil
}

// Acks stops the load.
func (s *Server) Acks(context.Context) ([]ledger.Ack, error) { return s.load.end() }

// occupied is how long the statement of Occupy would run.
const occupied = 600

// Occupy starts an update of a table without transactions, which any kind of
// lock on all tables has to wait for.
func (s *Server) Occupy(ctx context.Context) error {
	db, err := s.load.open(ctx, s)
	if err != nil {
		return err
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE occupied (n INT PRIMARY KEY) ENGINE=MyISAM"); err != nil {
		return err
	}
	s.load.Go(func(ctx context.Context) error {
		_, err := db.ExecContext(ctx, fmt.Sprintf("INSERT INTO occupied VALUES (SLEEP(%d))", occupied))
		return cut(ctx, fmt.Errorf("the long statement did not go on: %w", err))
	})
	for {
		var n int
		err := s.admin.QueryRowContext(ctx, "SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE INFO LIKE 'INSERT INTO occupied%' AND TIME_MS > 1000").Scan(&n)
		if err != nil || n > 0 {
			return err
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
