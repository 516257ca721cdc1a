package redis

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/quiesce/quiesce/local/ledger"
)

// tables are lists of the numbered records, in writing order: two in one
// transaction, then one by itself.
var tables = []string{"debit", "credit", "audit"}

const (
	noiseKeys = 2048
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
	life, stop := context.WithCancel(context.Background())
	d.load = &load{stop: func() { stop(); d.load.done.Wait(); _ = writers.Close() }}
	first := make(chan struct{})
	var once sync.Once
	wrote := func() { once.Do(func() { close(first) }) }
	for _, write := range []func(context.Context, *redis.Client) error{
		func(ctx context.Context, to *redis.Client) error { return d.load.records(ctx, to, wrote) }, noise,
	} {
		d.load.done.Go(func() {
			if err := write(life, writers); err != nil {
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
func (l *load) records(ctx context.Context, to *redis.Client, wrote func()) error {
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
		acked, wall := ledger.MonotonicClock()
		l.mu.Lock()
		l.acks = append(l.acks, ledger.Ack{Record: ledger.Record{N: uint64(n), Issued: issued}, Acked: acked, Wall: wall.UnixNano()})
		l.mu.Unlock()
		wrote()
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

const (
	writeLimit = 6 * time.Minute  // that a write may take: as long as a hold
	stopLoad   = 10 * time.Second // that one under way may take to end
)

// Acks stops the load.
func (d *Database) Acks(context.Context) ([]ledger.Ack, error) {
	l := d.load
	if err := d.resume(); err != nil {
		return nil, err
	}
	ended := make(chan struct{})
	go func() { l.stop(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(stopLoad):
		return nil, errors.New("the load does not end")
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks, l.failed
}
