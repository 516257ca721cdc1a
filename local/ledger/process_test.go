package ledger

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// The test binary serves as the program that the scripts call.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == "ledger" {
		do := func(args []string) error { return Client(context.Background(), args, os.Stdout) }
		if os.Args[2] == "serve" {
			do = func(args []string) error { return Serve(context.Background(), args[1:], os.Stdin, os.Stdout) }
		}
		if err := do(os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func TestScriptsHoldTheWriterAtACommitBoundary(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	p, err := Start(t.Context(), Options{Verb: []string{"ledger"}, Dir: filepath.Join(t.TempDir(), "app"), Mounts: []string{a, b}, Load: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	script := func(path, run string) {
		t.Helper()
		cmd := exec.Command(path)
		cmd.Env = []string{"QUIESCE_RUN_ID=" + run}
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", path, err, out)
		}
	}
	counts := func() (n [2]int) {
		t.Helper()
		for i, dir := range []string{a, b} {
			c, err := Read(dir)
			if err != nil || c.Torn || len(c.Bad) > 0 {
				t.Fatalf("%+v, %v", c, err)
			}
			n[i] = len(c.Records)
		}
		return n
	}
	script(p.PreScript(), "one")
	script(p.PreScript(), "one")
	script(p.PreScript(), "two")
	held := counts()
	if held[0] != held[1] || held[0] == 0 {
		t.Errorf("held with %v records", held)
	}
	script(p.PostScript(), "one")
	if now := counts(); now != held {
		t.Errorf("run two still holds, and %v became %v", held, now)
	}
	script(p.PostScript(), "two")
	script(p.PostScript(), "two")
	for last := (Ack{}); last.N <= uint64(held[0]); {
		if last, err = p.Last(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	acks, err := p.Acks()
	if err != nil || len(acks) != counts()[1] {
		t.Errorf("%d acknowledgements, %v; the volumes hold %v", len(acks), err, counts())
	}
}

func TestAWriterThatCannotStartSaysWhy(t *testing.T) {
	_, err := Start(t.Context(), Options{Verb: []string{"ledger"}, Dir: t.TempDir(), Mounts: []string{"/nowhere"}})
	if err == nil {
		t.Fatal("it started")
	}
}

// gate is a volume that a freeze can block.
type gate struct{ open chan struct{} }

func (g gate) Append([]byte) error { <-g.open; return nil }

func TestAPauseInsideARecordGivesUpItsHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, stop := context.WithCancel(t.Context())
		start := time.Now()
		clock := func() (int64, time.Time) { return int64(time.Since(start)), time.Now() }
		g := gate{make(chan struct{})}
		w := NewWriter(clock, []Appender{g}, time.Millisecond, func(Ack) error { return nil })
		go w.Run(ctx)
		time.Sleep(time.Second) // it is inside its first record
		short, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		if _, err := w.Pause(short, "run"); err == nil {
			t.Error("a writer inside a record was said to rest")
		}
		if _, holders := w.State(); len(holders) != 0 {
			t.Errorf("a failed pause left %v holding", holders)
		}
		close(g.open)
		last, err := w.Pause(ctx, "run")
		if err != nil || last.N == 0 {
			t.Errorf("Pause = %+v, %v", last, err)
		}
		time.Sleep(time.Minute)
		if now, _ := w.State(); now != last {
			t.Errorf("held at %d, now at %d", last.N, now.N)
		}
		w.Resume("another run")
		time.Sleep(time.Minute)
		if now, _ := w.State(); now != last {
			t.Error("another run's resume let the writer go")
		}
		w.Resume("run")
		time.Sleep(time.Second)
		if now, _ := w.State(); now == last {
			t.Error("the writer does not go on")
		}
		stop()
	})
}
