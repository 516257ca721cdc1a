package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quiesce/quiesce/local/database"
	"github.com/quiesce/quiesce/local/ledger"
)

// tables are lists of the numbered records, in writing order: two in one
// transaction, then one by itself.
var tables = []string{"debit", "credit", "audit"}

const (
	noiseKeys = 2048
	noiseSize = 1500
)

// Load starts the writers: one of numbered records, one that makes the file grow.
func (d *Database) Load(ctx context.Context) error {
	// It waits for as long as the server is held, longer than a client would.
	writers := redis.NewClient(&redis.Options{
		Network: "unix", Addr: d.server.Socket(), Protocol: 2, DisableIdentity: true, MaxRetries: -1, ReadTimeout: writeLimit,
	})
	d.admin = d.server.Client().Conn()
	if err := d.admin.Ping(ctx).Err(); err != nil {
		return err
	}
	d.writers, d.load = writers, &database.Writing{}
	for _, write := range []func(context.Context, *redis.Client) error{d.write, noise} {
		d.load.Go(func(ctx context.Context) error { return write(ctx, writers) })
	}
	return d.load.Begun(ctx)
}

// write writes one numbered record after the other and notes each
// acknowledgement. It ends between two of them.
func (d *Database) write(ctx context.Context, to *redis.Client) error {
	for n := 1; ctx.Err() == nil; n++ {
		issued, _ := ledger.MonotonicClock()
		record := fmt.Sprintf("%d %d", n, issued)
		_, err := to.TxPipelined(context.Background(), func(p redis.Pipeliner) error {
			p.RPush(context.Background(), tables[0], record)
			p.RPush(context.Background(), tables[1], record)
			return nil
		})
		if err == nil {
			err = to.RPush(context.Background(), tables[2], record).Err()
		}
		if err != nil {
			return fmt.Errorf("record %d: %w", n, err)
		}
		d.load.Ack(uint64(n), issued)
	}
	return nil
}

// noise writes values over and over.
func noise(ctx context.Context, to *redis.Client) error {
	body := strings.Repeat("x", noiseSize)
	for ctx.Err() == nil {
		if err := to.Set(context.Background(), fmt.Sprintf("noise-%d", rand.IntN(noiseKeys)), body, 0).Err(); err != nil {
			return fmt.Errorf("noise: %w", err)
		}
	}
	return nil
}

// writeLimit is how long a write may take: as long as a hold.
const writeLimit = 6 * time.Minute

// Acks stops the load.
func (d *Database) Acks(context.Context) ([]ledger.Ack, error) {
	if err := d.resume(); err != nil {
		return nil, err
	}
	acks, err := d.load.End()
	return acks, errors.Join(err, d.writers.Close())
}
