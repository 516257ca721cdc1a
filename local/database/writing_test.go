package database

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestWriting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Writing
		w.Go(func(ctx context.Context) error {
			for n := uint64(1); ctx.Err() == nil && n <= 3; n++ {
				w.Ack(n, int64(n))
			}
			<-ctx.Done()
			return nil
		})
		if err := w.Begun(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		acks, err := w.End()
		if err != nil || len(acks) != 3 || acks[2].N != 3 || acks[2].Acked == 0 {
			t.Errorf("got %v, %v", acks, err)
		}
	})
}

func TestWritingThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Writing
		broken := errors.New("the server is gone")
		w.Go(func(context.Context) error { return broken })
		if err := w.Begun(t.Context()); !errors.Is(err, broken) {
			t.Errorf("begun: %v", err)
		}
		if _, err := w.End(); !errors.Is(err, broken) {
			t.Errorf("ended: %v", err)
		}
	})
}

func TestWritingThatDoesNotEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var w Writing
		release := make(chan struct{})
		w.Go(func(context.Context) error { <-release; return nil })
		if acks, err := w.End(); err == nil {
			t.Errorf("got %v", acks)
		}
		close(release)
	})
}

func TestNothingBegunInTime(t *testing.T) {
	var w Writing
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := w.Begun(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
