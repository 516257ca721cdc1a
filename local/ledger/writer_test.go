package ledger_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/local/ledger"
)

// nowhere takes every record at once.
type nowhere struct{}

func (nowhere) Append([]byte) error { return nil }

// Between two records nobody waits for the writer's rest to be over, and a new
// pace counts from the rest that is being taken.
func TestARestingWriterIsHeldAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		var records atomic.Int32
		clock := func() (int64, time.Time) { return time.Now().UnixNano(), time.Now() }
		w := ledger.NewWriter(clock, []ledger.Appender{nowhere{}}, time.Minute, func(ledger.Ack) error { records.Add(1); return nil })
		go func() { _ = w.Run(ctx) }()
		time.Sleep(90 * time.Second)
		began := time.Now()
		if _, err := w.Pause(ctx, "run-1"); err != nil || time.Since(began) != 0 {
			t.Errorf("held after %v: %v", time.Since(began), err)
		}
		time.Sleep(5 * time.Minute)
		if n := records.Load(); n != 1 {
			t.Errorf("%d records, want the one before it was held", n)
		}
		w.Resume("run-1")
		w.Pace(time.Second)
		time.Sleep(10500 * time.Millisecond)
		if n := records.Load(); n < 10 {
			t.Errorf("%d records at the new pace", n)
		}
	})
}
