package clock_test

import (
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
	v.Run(func() {
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
	v.Run(func() {
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
	v.Run(func() { done = v.Wait(-1, &signal) == 0 })
	if !done {
		t.Error("it was not woken")
	}
}

func BenchmarkSwitch(b *testing.B) {
	v := clock.New(time.Unix(0, 0))
	v.Run(func() {
		for b.Loop() {
			v.Sleep(time.Second)
		}
	})
}
