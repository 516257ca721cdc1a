package postgresql

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/quiesce/quiesce/local/database"
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
	d.load = &database.Writing{}
	for _, write := range []func(context.Context, *pgconn.PgConn) error{d.records, noise} {
		conn, err := d.server.Connect(ctx)
		if err != nil {
			_, ended := d.load.End()
			return errors.Join(err, ended)
		}
		d.load.Go(func(ctx context.Context) error {
			defer conn.Close(context.Background())
			return write(ctx, conn)
		})
	}
	return d.load.Begun(ctx)
}

// records writes one numbered record after the other and notes each
// acknowledgement. It ends between two of them.
func (d *Database) records(ctx context.Context, conn *pgconn.PgConn) error {
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
		d.load.Ack(uint64(n), issued)
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

// Acks stops the load.
func (d *Database) Acks(context.Context) ([]ledger.Ack, error) {
	if err := d.resume(); err != nil {
		return nil, err
	}
	return d.load.End()
}
