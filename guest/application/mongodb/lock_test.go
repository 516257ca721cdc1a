package mongodb

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// TestOthersLocks are left as they are: before ours, with it, and in its place.
func TestOthersLocks(t *testing.T) {
	lock := func(s *shop) { s.with(func() { s.count, s.held = s.count+1, true }) }
	unlock := func(s *shop) { s.with(func() { s.count--; s.held = s.count > 0 }) }
	for _, tt := range []struct {
		name       string
		then       func(*shop) // while it is held
		held       fault.Code
		says, left string
	}{
		{"one more", lock, "", "", "1 locks, held true"},
		{"unlocked", unlock, fault.HoldLost, "somebody else has unlocked", "0 locks, held false"},
		{"unlocked, written and locked", func(s *shop) {
			unlock(s)
			s.with(func() { s.logged++ })
			lock(s)
		}, fault.HoldLost, "wrote to its log", "1 locks, held true"},
		{"written all the same", func(s *shop) { s.with(func() { s.inserted++ }) }, fault.HoldLost, "documents were changed", "0 locks, held false"},
		{"restarted", func(s *shop) {
			s.with(func() { s.count, s.held, s.process = 0, false, bson.NewObjectID() })
		}, fault.HoldLost, "restarted", "0 locks, held false"},
		{"restarted and locked", func(s *shop) {
			s.with(func() { s.count, s.held, s.process = 1, true, bson.NewObjectID() })
		}, fault.HoldLost, "restarted", "1 locks, held true"},
	} {
		// Whoever lets go: the session itself, with a proof before or without,
		// or who comes after it.
		for _, by := range []string{"release", "release unproved", "undo"} {
			t.Run(tt.name+", "+by, func(t *testing.T) {
				s := open(t, nil)
				a, k := s.quiesced(t)
				tt.then(s)
				if by == "release" {
					code(t, a.StillHeld(t.Context()), tt.held, tt.says)
				}
				if by == "undo" {
					journal := k.last()
					next := s.adapter(t, k)
					must(t, next.Undo(t.Context(), journal))
					must(t, next.Undo(t.Context(), k.last()))
				} else {
					_, err := a.Release(t.Context())
					must(t, err)
				}
				if got := s.settings(t); got != tt.left {
					t.Errorf("it left %s, want %s", got, tt.left)
				}
				if got := string(k.last()); got != "{}" {
					t.Errorf("the journal still says %s", got)
				}
			})
		}
	}
	t.Run("before", func(t *testing.T) {
		s := open(t, nil)
		lock(s)
		var k kept
		o := s.options(func(o *protocol.Application) { o.TimeoutSeconds = 1 })
		a, err := New(o, k.journal)
		must(t, err)
		_, err = a.Quiesce(t.Context())
		code(t, err, fault.ApplicationBusy, "somebody else holds the server")
		_, err = a.Release(t.Context())
		must(t, err)
		if got, want := s.settings(t), "1 locks, held true"; got != want || len(k.entries) > 0 {
			t.Errorf("it left %s and the journal %q", got, k.entries)
		}
	})
}

// TestLostReply is a lock that was had, but the answer never came: it is not
// asked for again, and it is taken back, by the session or by who comes after.
func TestLostReply(t *testing.T) {
	for _, by := range []string{"release", "undo"} {
		t.Run(by, func(t *testing.T) {
			s := open(t, func(s *fake) { s.mute = true })
			var k kept
			a := s.adapter(t, &k)
			_, err := a.Quiesce(t.Context())
			if err == nil {
				t.Fatal("it quiesced")
			}
			if got, want := s.settings(t), "1 locks, held true"; got != want {
				t.Fatalf("got %s, want %s: %v", got, want, err)
			}
			if by == "undo" {
				must(t, s.adapter(t, &k).Undo(t.Context(), k.last()))
			} else {
				_, err = a.Release(t.Context())
				must(t, err)
			}
			if got, want := s.settings(t), "0 locks, held false"; got != want {
				t.Errorf("it left %s, want %s", got, want)
			}
			must(t, s.write(t.Context()))
		})
	}
}

// TestUndoOfAnAttemptThatGoesOn waits for it: taken back at once, it would be
// had later, and nobody would know.
func TestUndoOfAnAttemptThatGoesOn(t *testing.T) {
	t.Parallel()
	s := open(t, nil)
	_, end := s.occupy(t)
	var k kept
	a := s.adapter(t, &k)
	ctx, cancel := context.WithCancel(t.Context())
	quiesced := make(chan error, 1)
	go func() {
		_, err := a.Quiesce(ctx)
		quiesced <- err
	}()
	for asked := false; !asked; {
		s.with(func() { asked = s.busy })
	}
	cancel()
	code(t, <-quiesced, fault.ApplicationBusy, "")
	undone := make(chan error, 1)
	go func() { undone <- s.adapter(t, &kept{}).Undo(t.Context(), k.last()) }()
	end() // and the lock is had
	must(t, <-undone)
	_, err := a.Release(t.Context())
	must(t, err)
	if got, want := s.settings(t), "0 locks, held false"; got != want {
		t.Errorf("it left %s, want %s", got, want)
	}
}

// TestLongTransaction is not waited for at all by the lock, since it would
// outlast the attempt, and others would wait with it.
func TestLongTransaction(t *testing.T) {
	t.Parallel()
	s := open(t, func(s *fake) { s.aged = 30 * time.Second })
	going, end := s.occupy(t)
	defer end()
	var k kept
	a, err := New(s.options(func(o *protocol.Application) { o.TimeoutSeconds = 1 }), k.journal)
	must(t, err)
	_, err = a.Quiesce(t.Context())
	code(t, err, fault.ApplicationBusy, "a transaction of connection 77 has gone on for")
	if !going() || len(k.entries) > 0 {
		t.Errorf("the transaction goes on: %v; the journal is %q", going(), k.entries)
	}
	_, err = a.Release(t.Context())
	must(t, err)
}

func TestOptionFile(t *testing.T) {
	s := open(t, func(s *fake) { s.password = "se:cret" })
	path := filepath.Join(t.TempDir(), "quiesce.yaml")
	uri := "mongodb://quiesce@" + filepath.Base(s.socket)
	for _, tt := range []struct {
		name, text string
		mode       os.FileMode
		want       fault.Code
		says       string
	}{
		{"good", "# ours\nuri: " + uri + "\npassword: \"se:cret\"\n", 0o600, "", ""},
		{"a wrong password", "uri: " + uri + "\npassword: other\n", 0o600, fault.ApplicationRefused, "uthenticat"},
		{"others may read it", "uri: " + uri + "\n", 0o640, fault.ApplicationRefused, "chmod 600"},
		{"several servers", "uri: mongodb://quiesce:se%3Acret@a,b/\n", 0o600, fault.ApplicationRefused, "the one server"},
		{"no uri", "uri: http://quiesce:se%3Acret@a\n", 0o600, fault.ApplicationRefused, "its uri is none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			must(t, os.WriteFile(path, []byte(tt.text), 0o600))
			must(t, os.Chmod(path, tt.mode))
			a, err := New(s.options(func(o *protocol.Application) { o.OptionFile = path }), nil)
			must(t, err)
			_, err = a.Quiesce(t.Context())
			code(t, err, tt.want, tt.says)
			if err == nil {
				must(t, a.StillHeld(t.Context()))
			}
			_, err = a.Release(t.Context())
			must(t, err)
			if got, want := s.settings(t), "0 locks, held false"; got != want {
				t.Errorf("it left %s, want %s", got, want)
			}
		})
	}
}
