package mariadb

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

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

// load is what writes to the server until it is stopped.
type load struct {
	stop context.CancelFunc
	done sync.WaitGroup
	dbs  []*sql.DB

	mu     sync.Mutex
	acks   []ledger.Ack
	failed error
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
	life, stop := context.WithCancel(context.Background())
	s.load = &load{stop: stop}
	first := make(chan struct{})
	var once sync.Once
	for _, write := range []func(context.Context, *sql.DB) error{
		func(ctx context.Context, db *sql.DB) error {
			return s.load.records(ctx, db, func() { once.Do(func() { close(first) }) })
		}, noise,
	} {
		db, err := s.connect(schema)
		if err == nil {
			s.load.dbs = append(s.load.dbs, db)
			err = s.mine(ctx, db)
		}
		if err != nil {
			stop()
			return err
		}
		s.load.done.Go(func() {
			if err := write(life, db); err != nil && life.Err() == nil {
				s.load.fail(err)
				once.Do(func() { close(first) })
			}
		})
	}
	select {
	case <-first:
		return s.load.problem()
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (l *load) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed = errors.Join(l.failed, err)
}

func (l *load) problem() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.failed
}

// records writes one numbered record after the other and notes each
// acknowledgement.
func (l *load) records(ctx context.Context, db *sql.DB, wrote func()) error {
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
		acked, wall := ledger.MonotonicClock()
		l.mu.Lock()
		l.acks = append(l.acks, ledger.Ack{Record: ledger.Record{N: n, Issued: mono}, Acked: acked, Wall: wall.UnixNano()})
		l.mu.Unlock()
		wrote()
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

// stopLoad is how long a write under way may take to end: one is cut off in
// the middle only if the server does not answer.
const stopLoad = 10 * time.Second

// Acks stops the load.
func (s *Server) Acks(context.Context) ([]ledger.Ack, error) {
	l := s.load
	l.stop()
	ended := make(chan struct{})
	go func() { l.done.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopLoad):
		return nil, errors.New("the load does not end")
	}
	for _, db := range l.dbs {
		db.Close()
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks, l.failed
}

// occupied is how long the statement of Occupy would run.
const occupied = 600

// Occupy starts an update of a table without transactions, which any kind of
// lock on all tables has to wait for.
func (s *Server) Occupy(ctx context.Context) error {
	db, err := s.connect(schema)
	if err != nil {
		return err
	}
	if err := s.mine(ctx, db); err != nil {
		return errors.Join(err, db.Close())
	}
	s.load.dbs = append(s.load.dbs, db)
	if _, err := db.ExecContext(ctx, "CREATE TABLE occupied (n INT PRIMARY KEY) ENGINE=MyISAM"); err != nil {
		return err
	}
	life, stop := context.WithCancel(context.Background())
	before := s.load.stop
	s.load.stop = func() { stop(); before() }
	s.load.done.Go(func() {
		_, err := db.ExecContext(life, fmt.Sprintf("INSERT INTO occupied VALUES (SLEEP(%d))", occupied))
		if life.Err() == nil {
			s.load.fail(fmt.Errorf("the long statement did not go on: %w", err))
		}
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
