package database

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/quiesce/quiesce/local/ledger"
)

// Writing is the load of one server: what writes to it until it is told to end,
// and the acknowledgements of the numbered records. Its zero value writes
// nothing yet.
type Writing struct {
	start  sync.Once
	life   context.Context
	stop   context.CancelFunc
	done   sync.WaitGroup
	first  chan struct{} // closed by the first acknowledgement or failure
	opened sync.Once

	mu     sync.Mutex
	acks   []ledger.Ack
	failed error
}

func (w *Writing) begin() {
	w.start.Do(func() {
		w.life, w.stop = context.WithCancel(context.Background())
		w.first = make(chan struct{})
	})
}

// Go lets write go on until the context that it is given ends. Its error is the
// load's.
func (w *Writing) Go(write func(ctx context.Context) error) {
	w.begin()
	w.done.Go(func() {
		if err := write(w.life); err != nil {
			w.mu.Lock()
			w.failed = errors.Join(w.failed, err)
			w.mu.Unlock()
			w.open()
		}
	})
}

// Ack notes that a record is acknowledged now, which was issued at a moment of
// the machine's monotonic clock.
func (w *Writing) Ack(n uint64, issued int64) {
	acked, wall := ledger.MonotonicClock()
	w.mu.Lock()
	w.acks = append(w.acks, ledger.Ack{Record: ledger.Record{N: n, Issued: issued}, Acked: acked, Wall: wall.UnixNano()})
	w.mu.Unlock()
	w.open()
}

func (w *Writing) open() { w.opened.Do(func() { close(w.first) }) }

// Begun returns when the first record is acknowledged.
func (w *Writing) Begun(ctx context.Context) error {
	w.begin()
	select {
	case <-w.first:
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.failed
	case <-ctx.Done():
		return ctx.Err()
	}
}

// endLimit is how long a write under way may take to end.
const endLimit = 10 * time.Second

// End stops what writes and returns what was acknowledged, in order.
func (w *Writing) End() ([]ledger.Ack, error) {
	w.begin()
	w.stop()
	ended := make(chan struct{})
	go func() { w.done.Wait(); close(ended) }()
	select {
	case <-ended:
	case <-time.After(endLimit):
		return nil, errors.New("the load does not end")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.acks, w.failed
}
