package ledger

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Appender is the end of one volume's ledger. Append returns when the record
// is durable; blocked by a frozen filesystem it waits.
type Appender interface {
	Append(record []byte) error
}

// Clock reads the machine's monotonic clock, in nanoseconds, and its wall
// clock.
type Clock func() (mono int64, wall time.Time)

// Writer commits records until it is stopped. It pauses only between records,
// when all volumes are equal.
type Writer struct {
	clock   Clock
	volumes []Appender
	note    func(Ack) error
	pace    time.Duration

	mu      sync.Mutex
	holders []string
	resting bool          // the loop waits at a commit boundary
	changed chan struct{} // closed and replaced whenever the above changes
	last    Ack
}

// NewWriter makes a writer over volumes, in the order in which they are
// written. note is told every acknowledgement; pace is the rest between records.
func NewWriter(clock Clock, volumes []Appender, pace time.Duration, note func(Ack) error) *Writer {
	return &Writer{clock: clock, volumes: volumes, note: note, pace: pace, changed: make(chan struct{})}
}

// Run commits records until ctx ends or a volume fails.
func (w *Writer) Run(ctx context.Context) error {
	for n := uint64(1); ; n++ {
		if err := w.rest(ctx); err != nil {
			return nil
		}
		mono, _ := w.clock()
		rec := Record{N: n, Issued: mono}
		line := rec.Encode()
		for i, v := range w.volumes {
			if err := v.Append(line); err != nil {
				return fmt.Errorf("record %d on volume %d: %w", n, i, err)
			}
		}
		mono, wall := w.clock()
		ack := Ack{Record: rec, Acked: mono, Wall: wall.UnixNano()}
		if err := w.note(ack); err != nil {
			return err
		}
		w.mu.Lock()
		w.last = ack
		w.mu.Unlock()
	}
}

// rest takes the pace's rest and then waits as long as anybody holds the writer.
// Whoever holds it meanwhile has it at once: it is between two records.
func (w *Writer) rest(ctx context.Context) error {
	began := time.Now()
	for {
		w.mu.Lock()
		w.resting = len(w.holders) > 0
		if w.resting {
			w.tell()
		}
		resting, changed, left := w.resting, w.changed, w.pace-time.Since(began)
		w.mu.Unlock()
		if ctx.Err() != nil || !resting && left <= 0 {
			return ctx.Err()
		}
		var rested <-chan time.Time
		if !resting {
			rested = time.After(left)
		}
		select {
		case <-changed:
		case <-rested:
		case <-ctx.Done():
		}
	}
}

// Pace changes the rest between records, from the one that is being taken on.
func (w *Writer) Pace(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pace = d
	w.tell()
}

// tell wakes all who wait for a change. Its caller holds the lock.
func (w *Writer) tell() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// Pause holds the writer for a run and returns when it rests, with the last
// acknowledgement. Pausing twice for one run holds once. If ctx ends before the
// writer rests, a hold that this call made is given up.
func (w *Writer) Pause(ctx context.Context, run string) (Ack, error) {
	w.mu.Lock()
	mine := !slices.Contains(w.holders, run)
	if mine {
		w.holders = append(w.holders, run)
		w.tell()
	}
	for !w.resting {
		changed := w.changed
		w.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			if mine {
				w.Resume(run)
			}
			return Ack{}, fmt.Errorf("the writer is inside a record: %w", ctx.Err())
		}
		w.mu.Lock()
	}
	defer w.mu.Unlock()
	if !slices.Contains(w.holders, run) {
		return Ack{}, fmt.Errorf("run %s was resumed while it paused", run)
	}
	return w.last, nil
}

// Resume gives a run's hold up; the writer goes on when the last one is gone.
// A run that holds nothing changes nothing.
func (w *Writer) Resume(run string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if i := slices.Index(w.holders, run); i >= 0 {
		w.holders = slices.Delete(w.holders, i, i+1)
		w.resting = w.resting && len(w.holders) > 0
		w.tell()
	}
}

// State tells the last acknowledgement and who holds the writer.
func (w *Writer) State() (last Ack, holders []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.last, slices.Clone(w.holders)
}
