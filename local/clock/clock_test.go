package clock_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/clock"
	"github.com/quiesce/quiesce/workflow/asl"
)

func TestHoursPassInOrder(t *testing.T) {
	began := time.Date(2026, 3, 1, 2, 0, 0, 0, time.UTC)
	v := clock.New(began)
	var got []string
	note := func(name string) { got = append(got, fmt.Sprint(name, " ", v.Now().Sub(began))) }
	run(t, v, func() {
		for _, name := range []string{"a", "b"} {
			v.Go(func() {
				v.Sleep(time.Hour)
				note(name)
			})
		}
		note("start")
		v.Sleep(30 * time.Minute)
		note("half")
	})
	want := []string{"start 0s", "half 30m0s", "a 1h0m0s", "b 1h0m0s"}
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestGateOrTime(t *testing.T) {
	began := time.Unix(0, 0)
	v := clock.New(began)
	var never, later asl.Gate
	run(t, v, func() {
		v.Go(func() { v.Sleep(time.Second); later.Open() })
		if i := v.Wait(time.Minute, &never, &later); i != 1 || v.Now().Sub(began) != time.Second {
			t.Errorf("got %d after %v", i, v.Now().Sub(began))
		}
		if i := v.Wait(time.Minute, &never); i != -1 || v.Now().Sub(began) != 61*time.Second {
			t.Errorf("got %d after %v", i, v.Now().Sub(began))
		}
		if i := v.Wait(time.Minute, &never, &later); i != 1 {
			t.Errorf("an open gate: got %d", i)
		}
	})
}

func TestAGateOpenedFromOutside(t *testing.T) {
	v := clock.New(time.Unix(0, 0))
	var signal asl.Gate
	time.AfterFunc(time.Millisecond, signal.Open)
	done := false
	run(t, v, func() { done = v.Wait(-1, &signal) == 0 })
	if !done {
		t.Error("it was not woken")
	}
}

func BenchmarkSwitch(b *testing.B) {
	v := clock.New(time.Unix(0, 0))
	run(b, v, func() {
		for b.Loop() {
			v.Sleep(time.Second)
		}
	})
}

func run(t testing.TB, v *clock.Virtual, f func()) {
	t.Helper()
	if err := v.Run(t.Context(), f); err != nil {
		t.Error(err)
	}
}

func TestInterrupted(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	v := clock.New(time.Unix(0, 0))
	var never asl.Gate
	time.AfterFunc(time.Millisecond, cancel)
	if err := v.Run(ctx, func() { v.Wait(-1, &never) }); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
