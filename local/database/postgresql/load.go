package postgresql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quiesce/quiesce/local/ledger"
)

// tables hold the numbered records, in writing order: two in one transaction,
// then one in another. The second is in the tablespace, where there is one.
var tables = []struct {
	name   string
	paired bool
}{{"debit", false}, {"credit", true}, {"audit", false}}

const (
	noiseRows = 2048
	noiseSize = 1500
)

// load is what writes to the server until it is stopped.
type load struct {
	stop context.CancelFunc
	done sync.WaitGroup

	mu     sync.Mutex
	acks   []ledger.Ack
	failed error
}

// Load makes the tables and starts the writers: one of numbered records, one
// that keeps pages and indexes dirty.
func (d *Database) Load(ctx context.Context) error {
	space := ""
	for i, dir := range d.spaces {
		if err := d.server.GiveFolder(dir); err != nil {
			return err
		}
		if err := d.server.Exec(ctx, fmt.Sprintf("CREATE TABLESPACE space%d LOCATION '%s'", i, dir)); err != nil {
			return err
		}
		space = " TABLESPACE space0"
	}
	statements := "CREATE UNLOGGED TABLE unlogged (n int); INSERT INTO unlogged VALUES (1);"
	for _, t := range tables {
		statements += fmt.Sprintf("CREATE TABLE %s (n bigint PRIMARY KEY, issued bigint NOT NULL)", t.name)
		if t.paired {
			statements += space
		}
		statements += ";"
	}
	statements += "CREATE TABLE noise (n int PRIMARY KEY, body text); CREATE INDEX ON noise (substr(body, 1, 40))" + space
	if err := d.server.Exec(ctx, statements); err != nil {
		return err
	}
	life, stop := context.WithCancel(context.Background())
	d.load = &load{stop: stop}
	first := make(chan struct{})
	var once sync.Once
	wrote := func() { once.Do(func() { close(first) }) }
	for _, write := range []func(context.Context, *pgconn.PgConn) error{
		func(ctx context.Context, conn *pgconn.PgConn) error { return d.load.records(ctx, conn, wrote) }, noise,
	} {
		conn, err := d.server.Connect(ctx)
		if err != nil {
			stop()
			return err
		}
		d.load.done.Go(func() {
			defer conn.Close(context.Background())
			if err := write(life, conn); err != nil {
				d.load.fail(err)
				wrote()
			}
		})
	}
	select {
	case <-first:
		return d.load.problem()
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
// acknowledgement. It ends between two of them.
func (l *load) records(ctx context.Context, conn *pgconn.PgConn, wrote func()) error {
	for n := 1; ctx.Err() == nil; n++ {
		issued, _ := ledger.MonotonicClock()
		values := fmt.Sprintf(" VALUES (%d, %d);", n, issued)
		for _, statements := range []string{
			"BEGIN; INSERT INTO debit" + values + "INSERT INTO credit" + values + "COMMIT", "INSERT INTO audit" + values,
		} {
			if err := conn.Exec(context.Background(), statements).Close(); err != nil {
				return fmt.Errorf("record %d: %w", n, err)
			}
		}
		acked, wall := ledger.MonotonicClock()
		l.mu.Lock()
		l.acks = append(l.acks, ledger.Ack{Record: ledger.Record{N: uint64(n), Issued: issued}, Acked: acked, Wall: wall.UnixNano()})
		l.mu.Unlock()
		wrote()
	}
	return nil
}

// noise writes rows over and over, as many at once as fill a few pages.
func noise(ctx context.Context, conn *pgconn.PgConn) error {
	for ctx.Err() == nil {
		statement := fmt.Sprintf(`INSERT INTO noise SELECT i, (SELECT string_agg(md5(random()::text || i || j), '') FROM generate_series(1, %d) j)
			FROM generate_series(%d, %[2]d + 9) i ON CONFLICT (n) DO UPDATE SET body = excluded.body`, noiseSize/32, rand.IntN(noiseRows))
		if err := conn.Exec(context.Background(), statement).Close(); err != nil {
			return fmt.Errorf("noise: %w", err)
		}
	}
	return nil
}

// stopLoad is how long a write under way may take to end.
const stopLoad = 10 * time.Second

// Acks stops the load.
func (d *Database) Acks(context.Context) ([]ledger.Ack, error) {
	l := d.load
	if err := d.resume(); err != nil {
		return nil, err
	}
	l.stop()
	ended := make(chan struct{})
	go func() { l.done.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopLoad):
		return nil, errors.New("the load does not end")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks, l.failed
}
