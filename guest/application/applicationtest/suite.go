// Package applicationtest is what every adapter has to pass, against the real
// server that it is for.
package applicationtest

import (
	"context"
	"testing"
	"time"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Rig is a real server for the suite. A nil field means that the kind has no
// such thing, and its tests are left out.
type Rig struct {
	New     application.New
	Options protocol.Application // good ones, with the shortest limits

	// Write makes one acknowledged change, and fails when ctx ends first.
	Write func(ctx context.Context) error

	// Holds is false for a kind whose quiesce lets writers go on.
	Holds bool

	// Kill ends the session of that id from outside. Outlives is true for a kind
	// whose hold does not end with it.
	Kill     func(t *testing.T, session string)
	Outlives bool

	// Occupy holds a quiesce off; going tells whether what does so goes on,
	// and end ends it.
	Occupy func(t *testing.T) (going func() bool, end func())

	// Settings renders what a quiesce could leave changed.
	Settings func(t *testing.T) string

	// Bad are options that New has to refuse, by the field.
	Bad map[string]protocol.Application

	// Wrong are options that lead to no server, by the code.
	Wrong map[fault.Code]protocol.Application
}

const (
	blocked = 300 * time.Millisecond // that long a writer is seen to wait
	soon    = 10 * time.Second
	stall   = 3 * time.Second // that a writer may wait at most for a lock that is not had
)

// Run runs the suite.
func Run(t *testing.T, rig Rig) {
	tests := []struct {
		name string
		run  func(*testing.T, Rig)
		has  bool
	}{
		{"it is found", found, true},
		{"quiesced, writers wait; released, they go on", holds, true},
		{"released twice, and before anything", releasedTwice, true},
		{"killed, the hold is lost", killed, rig.Kill != nil},
		{"held off, it gives up in time", givesUp, rig.Occupy != nil},
		{"a crash leaves nothing that Undo does not take back", crashed, true},
		{"ctx ends it", ended, rig.Occupy != nil},
		{"bad options are refused", bad, true},
		{"a server that is not there is not found", wrong, true},
	}
	for _, tt := range tests {
		if tt.has {
			t.Run(tt.name, func(t *testing.T) { tt.run(t, rig) })
		}
	}
}

// made is an adapter with its journal's last entry.
func (r Rig) made(t *testing.T) (application.Adapter, *[]byte) {
	t.Helper()
	var entry []byte
	a, err := r.New(r.Options, func(e []byte) error { entry = e; return nil })
	if err != nil {
		t.Fatal(err)
	}
	return a, &entry
}

func (r Rig) quiesce(t *testing.T) (application.Adapter, application.Held, *[]byte) {
	t.Helper()
	a, entry := r.made(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	began := time.Now()
	held, err := a.Quiesce(ctx)
	if err != nil {
		t.Fatalf("quiesce: %v", err)
	}
	t.Logf("quiesced in %v", time.Since(began).Round(100*time.Microsecond))
	t.Cleanup(func() { a.Release(context.Background()) })
	return a, held, entry
}

// waits checks that writers are held, where the kind holds them. The write that
// was begun here is left to end by itself, and told on the channel.
func (r Rig) waits(t *testing.T) <-chan error {
	t.Helper()
	wrote := make(chan error, 1)
	if !r.Holds {
		wrote <- nil
		return wrote
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	go func() { wrote <- r.Write(ctx) }()
	select {
	case err := <-wrote:
		t.Errorf("a write got through while it was held (%v)", err)
		wrote <- err
	case <-time.After(blocked):
	}
	return wrote
}

// goes checks that writers go on.
func (r Rig) goes(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	if err := r.Write(ctx); err != nil {
		t.Errorf("a write does not go on: %v", err)
	}
}

func arrives(t *testing.T, wrote <-chan error) {
	t.Helper()
	select {
	case err := <-wrote:
		if err != nil {
			t.Errorf("the write that was held failed: %v", err)
		}
	case <-time.After(soon):
		t.Error("the write that was held does not go on")
	}
}

func found(t *testing.T, r Rig) {
	a, _ := r.made(t)
	before := r.Settings(t)
	seen, err := a.Look(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if seen.Version == "" || len(seen.Dirs) == 0 {
		t.Errorf("it is not described: %+v", seen)
	}
	if after := r.Settings(t); after != before {
		t.Errorf("looking changed %s to %s", before, after)
	}
	r.goes(t)
	t.Logf("found %+v", seen)
}

func holds(t *testing.T, r Rig) {
	before := r.Settings(t)
	r.goes(t)
	a, held, _ := r.quiesce(t)
	if held.Version == "" {
		t.Error("the version is not told")
	}
	if (held.SessionID == "") != (r.Kill == nil) {
		t.Errorf("the session is %q", held.SessionID)
	}
	wrote := r.waits(t)
	for range 2 {
		if err := a.StillHeld(t.Context()); err != nil {
			t.Errorf("not held: %v", err)
		}
	}
	began := time.Now()
	if _, err := a.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	t.Logf("released in %v", time.Since(began).Round(100*time.Microsecond))
	arrives(t, wrote)
	r.goes(t)
	if after := r.Settings(t); after != before {
		t.Errorf("the settings were %s and are %s", before, after)
	}
	if err := a.StillHeld(t.Context()); fault.CodeOf(err) != fault.HoldLost {
		t.Errorf("held after the release: %v", err)
	}
}

func releasedTwice(t *testing.T, r Rig) {
	fresh, _ := r.made(t)
	if _, err := fresh.Release(t.Context()); err != nil {
		t.Errorf("release of nothing: %v", err)
	}
	a, _, _ := r.quiesce(t)
	for range 2 {
		if _, err := a.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
	}
	r.goes(t)
}

func killed(t *testing.T, r Rig) {
	before := r.Settings(t)
	a, held, _ := r.quiesce(t)
	r.Kill(t, held.SessionID)
	if !r.Outlives {
		r.goes(t)
	}
	err := a.StillHeld(t.Context())
	if fault.CodeOf(err) != fault.HoldLost {
		t.Errorf("got %v, want HoldLost", err)
	}
	t.Log(err)
	if err := a.StillHeld(t.Context()); fault.CodeOf(err) != fault.HoldLost {
		t.Errorf("asked again it got %v, want HoldLost", err)
	}
	if _, err := a.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	r.goes(t)
	if after := r.Settings(t); after != before {
		t.Errorf("the settings were %s and are %s", before, after)
	}
}

func givesUp(t *testing.T, r Rig) {
	before := r.Settings(t)
	going, end := r.Occupy(t)
	defer end()
	a, _ := r.made(t)
	began := time.Now()
	limit := time.Duration(r.Options.TimeoutSeconds+r.Options.FTWRLWaitTimeout)*time.Second + 5*time.Second
	longest := r.busily(t)
	_, err := a.Quiesce(t.Context())
	took := time.Since(began)
	if most := longest(); most > stall {
		t.Errorf("a writer waited for %v meanwhile, want %v at most", most, stall)
	} else {
		t.Logf("a writer waited for %v at most", most.Round(time.Millisecond))
	}
	if fault.CodeOf(err) != fault.ApplicationBusy || took > limit {
		t.Errorf("got %v after %v, want ApplicationBusy within %v", err, took, limit)
	}
	t.Logf("gave up after %v: %v", took.Round(time.Millisecond), err)
	if _, err := a.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	if !going() {
		t.Error("what held it off was stopped")
	}
	r.goes(t)
	if after := r.Settings(t); after != before {
		t.Errorf("the settings were %s and are %s", before, after)
	}
}

// busily writes until the returned func is called, which tells the longest wait.
func (r Rig) busily(t *testing.T) func() time.Duration {
	ctx, stop := context.WithCancel(t.Context())
	most := make(chan time.Duration, 1)
	go func() {
		var longest time.Duration
		for ctx.Err() == nil {
			began := time.Now()
			if err := r.Write(context.WithoutCancel(ctx)); err != nil {
				t.Errorf("a write failed: %v", err)
				break
			}
			longest = max(longest, time.Since(began))
		}
		most <- longest
	}()
	return func() time.Duration { stop(); return <-most }
}

// ended is a session that is broken off while it waits.
func ended(t *testing.T, r Rig) {
	going, end := r.Occupy(t)
	defer end()
	a, _ := r.made(t)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := a.Quiesce(ctx); err == nil || time.Since(began) > soon {
		t.Errorf("got %v after %v", err, time.Since(began))
	}
	if _, err := a.Release(t.Context()); err != nil {
		t.Errorf("release: %v", err)
	}
	if !going() {
		t.Error("what held it off was stopped")
	}
	r.goes(t)
}

// crashed is a helper that dies: its connections end, and nobody calls Release.
func crashed(t *testing.T, r Rig) {
	before := r.Settings(t)
	_, held, entry := r.quiesce(t)
	if r.Kill != nil {
		r.Kill(t, held.SessionID)
	}
	next, _ := r.made(t)
	for range 2 {
		if err := next.Undo(t.Context(), *entry); err != nil {
			t.Errorf("undo: %v", err)
		}
	}
	r.goes(t)
	if after := r.Settings(t); after != before {
		t.Errorf("the settings were %s and are %s", before, after)
	}
}

func bad(t *testing.T, r Rig) {
	for field, options := range r.Bad {
		_, err := r.New(options, func([]byte) error { return nil })
		if f, ok := err.(*fault.Error); !ok || f.Code != fault.InvalidInput || f.Field != field {
			t.Errorf("%s: got %v", field, err)
		}
	}
}

func wrong(t *testing.T, r Rig) {
	for code, options := range r.Wrong {
		a, err := r.New(options, func([]byte) error { return nil })
		if err != nil {
			t.Errorf("%s: %v", code, err)
			continue
		}
		if _, err := a.Look(t.Context()); fault.CodeOf(err) != code {
			t.Errorf("look: got %v, want %s", err, code)
		}
		if _, err := a.Quiesce(t.Context()); fault.CodeOf(err) != code {
			t.Errorf("quiesce: got %v, want %s", err, code)
		}
		if _, err := a.Release(t.Context()); err != nil {
			t.Errorf("release: %v", err)
		}
		if err := a.StillHeld(t.Context()); fault.CodeOf(err) != fault.HoldLost {
			t.Errorf("held: got %v", err)
		}
	}
}
