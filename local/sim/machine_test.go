package sim

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// bench is a machine with a ledger on mounted volumes.
type bench struct {
	*testing.T
	*Machine
	ledger *Ledger
	mounts []string
}

// bubble runs a test of a machine in virtual time.
func bubble(t *testing.T, seed uint64, volumes int, test func(b *bench)) {
	synctest.Test(t, func(t *testing.T) {
		m := New(Config{Seed: seed})
		defer m.Close()
		b := &bench{T: t, Machine: m}
		for i := range volumes {
			name, at := fmt.Sprintf("vol-%d", i), fmt.Sprintf("/data%d", i)
			b.must(m.Create(t.Context(), name, 1<<30, ""))
			device, err := m.Attach(t.Context(), name)
			b.must(err, m.Format(t.Context(), device, "ext4"), m.Mount(device, at))
			b.mounts = append(b.mounts, at)
		}
		var err error
		b.ledger, err = m.StartLedger(b.mounts, time.Millisecond, 100<<20)
		b.must(err)
		time.Sleep(time.Second)
		test(b)
	})
}

func (b *bench) must(errs ...error) {
	b.Helper()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) acks() []ledger.Ack {
	acks, err := b.ledger.Acks()
	b.must(err)
	return acks
}

func (b *bench) last() ledger.Ack {
	last, err := b.ledger.Last(b.Context())
	b.must(err)
	return last
}

// ask sends a verb as the agent would.
func (b *bench) ask(verb protocol.Verb, change func(*protocol.Request)) (protocol.Reply, int) {
	b.Helper()
	req := protocol.Request{Version: protocol.Version, Verb: verb, RunID: "run-1"}
	if change != nil {
		change(&req)
	}
	raw, err := json.Marshal(req)
	b.must(err)
	got := b.Execute(b.Context(), instance.Command{Parameters: map[string]string{
		"Verb": string(verb), "Request": base64.StdEncoding.EncodeToString(raw),
	}})
	var reply protocol.Reply
	if len(got.Stdout) > 0 {
		b.must(json.Unmarshal(got.Stdout, &reply))
	}
	return reply, got.ExitCode
}

// begin opens a session over all volumes, with the ledger's scripts or none.
func (b *bench) begin(scripts bool) {
	b.Helper()
	seen, code := b.ask(protocol.DryRun, nil)
	if code != 0 || len(seen.DryRun.Mounts) != len(b.mounts) {
		b.Fatalf("dry-run: %d %+v", code, seen)
	}
	reply, code := b.ask(protocol.Begin, func(r *protocol.Request) {
		r.Begin = &protocol.BeginRequest{SessionSeconds: 60, FreezeSeconds: 10, Application: protocol.Application{Kind: "none"}}
		if scripts {
			r.Begin.Application = protocol.Application{Kind: "script", PreScript: b.ledger.PreScript(), PostScript: b.ledger.PostScript()}
		}
		for _, m := range seen.DryRun.Mounts {
			r.Begin.Filesystems = append(r.Begin.Filesystems, protocol.Filesystem{Mount: m.Mount, Device: m.Device})
		}
	})
	if code != 0 {
		b.Fatalf("begin: %d %+v", code, reply.Error)
	}
}

// snapshot makes the set by a call of one second.
func (b *bench) snapshot(name string) ledger.Span {
	b.Helper()
	set := map[string]string{}
	for i := range b.mounts {
		set[fmt.Sprintf("vol-%d", i)] = fmt.Sprint(name, i)
	}
	start, _ := b.Clock()
	time.Sleep(500 * time.Millisecond)
	b.must(b.Snapshot(b.Context(), set))
	time.Sleep(500 * time.Millisecond)
	end, _ := b.Clock()
	return ledger.Span{Start: start, End: end}
}

// verify restores a set and puts it before the oracle.
func (b *bench) verify(name string, c ledger.Case) ledger.Result {
	b.Helper()
	for i := range b.mounts {
		volume := fmt.Sprint("restored-", name, i)
		b.must(b.Create(b.Context(), volume, 0, fmt.Sprint(name, i)))
		device, err := b.Attach(b.Context(), volume)
		b.must(err)
		log, err := b.Inspect(device)
		b.must(err, b.Mount(device, "/"+volume))
		contents, err := b.Read("/" + volume)
		b.must(err, b.Unmount("/"+volume), b.Detach(b.Context(), volume), b.Delete(b.Context(), volume))
		c.Volumes = append(c.Volumes, ledger.Volume{Name: volume, Contents: contents, Log: &log})
	}
	c.Acks = b.acks()
	return ledger.Verify(c)
}

func TestSetsAreWhatTheirMakingAllows(t *testing.T) {
	for seed := range uint64(20) {
		for _, asked := range []run.Consistency{run.Application, run.Filesystem, run.Crash} {
			bubble(t, seed, 3, func(b *bench) {
				c := ledger.Case{Asked: asked}
				if asked == run.Crash {
					c.Call = b.snapshot("s")
				} else {
					b.begin(asked == run.Application)
					frozen, code := b.ask(protocol.Freeze, nil)
					if code != 0 {
						b.Fatalf("freeze: %d %+v", code, frozen.Error)
					}
					c.Call = b.snapshot("s")
					thawed, code := b.ask(protocol.Thaw, func(r *protocol.Request) {
						r.Thaw = &protocol.ThawRequest{CallEnded: frozen.Evidence.Hold, Reason: "snapshot-taken"}
					})
					if code != 0 || thawed.Evidence.FrozenMs < 1000 || len(thawed.Evidence.Lost) > 0 {
						b.Fatalf("thaw: %d %+v", code, thawed)
					}
					if a := thawed.Evidence.Application; asked == run.Application && !a.Held {
						b.Errorf("the application was not held: %+v", a)
					}
					c.Window = ledger.WindowOf(thawed.Evidence)
				}
				time.Sleep(time.Second)
				r := b.verify("s", c)
				if !r.Verified {
					b.Errorf("seed %d, %s: %+v", seed, asked, r)
				}
				gap := ledger.Pause(b.acks(), c.Call)
				if want := asked != run.Crash; (gap.Ms() > 1000) != want {
					b.Errorf("%s: the application paused for %.1f ms", asked, gap.Ms())
				}
			})
		}
	}
}

// What is not held is seen by the oracle and by the helper alike.
func TestAForeignThawIsNoticed(t *testing.T) {
	bubble(t, 1, 2, func(b *bench) {
		b.begin(false)
		frozen, _ := b.ask(protocol.Freeze, nil)
		b.must(b.Fsfreeze(b.Context(), b.mounts[0], false), b.Fsfreeze(b.Context(), b.mounts[0], true))
		c := ledger.Case{Asked: run.Filesystem, Call: b.snapshot("s")}
		now, _ := b.Clock()
		c.Window = ledger.Window{FrozenAt: max(frozen.Evidence.Filesystems[0].FrozenAt.Mono, frozen.Evidence.Filesystems[1].FrozenAt.Mono), ThawAt: now}
		reply, code := b.ask(protocol.Thaw, func(r *protocol.Request) {
			r.Thaw = &protocol.ThawRequest{CallEnded: frozen.Evidence.Hold}
		})
		if code != session.ExitAlreadyThawed || reply.Error.Code != fault.HoldLost {
			b.Errorf("thaw: %d %+v", code, reply.Error)
		}
		if !b.Frozen(b.mounts[0]) || b.Frozen(b.mounts[1]) {
			b.Error("what somebody else froze was thawed, or ours was not")
		}
		b.must(b.Fsfreeze(b.Context(), b.mounts[0], false))
		if r := b.verify("s", c); r.Verified {
			b.Errorf("a set whose hold was broken was verified: %+v", r)
		}
	})
}

func TestNothingStaysFrozenBehindADeadHelper(t *testing.T) {
	bubble(t, 2, 2, func(b *bench) {
		b.begin(true)
		if _, code := b.ask(protocol.Freeze, nil); code != 0 {
			b.Fatal(code)
		}
		b.KillHelper()
		time.Sleep(time.Second)
		for _, at := range b.mounts {
			if b.Frozen(at) {
				b.Errorf("%s is still frozen", at)
			}
		}
		before := b.last()
		reply, code := b.ask(protocol.Thaw, nil)
		if code == 0 || reply.Evidence == nil || !reply.Evidence.AutoThawed || len(reply.Evidence.Lost) == 0 {
			b.Errorf("thaw: %d %+v", code, reply)
		}
		time.Sleep(time.Second)
		if b.last() == before {
			b.Error("the application was not let go")
		}
	})
}

func TestTheDeadlineThawsWhateverTheWorkflowDoes(t *testing.T) {
	bubble(t, 3, 2, func(b *bench) {
		b.begin(true)
		b.ask(protocol.Freeze, nil)
		time.Sleep(11 * time.Second)
		if b.Frozen(b.mounts[0]) || b.Frozen(b.mounts[1]) {
			b.Error("frozen beyond the deadline")
		}
		if _, code := b.ask(protocol.Thaw, nil); code != session.ExitAutoThawed {
			b.Errorf("thaw ends with %d, want %d", code, session.ExitAutoThawed)
		}
	})
}

func TestFreezingIsTheKernels(t *testing.T) {
	bubble(t, 4, 2, func(b *bench) {
		ctx := b.Context()
		if err := b.Fsfreeze(ctx, "/data0", false); !errors.Is(err, syscall.EINVAL) {
			b.Errorf("thaw of a thawed one: %v", err)
		}
		b.must(b.Fsfreeze(ctx, "/data0", true))
		if err := b.Fsfreeze(ctx, "/data0", true); !errors.Is(err, syscall.EBUSY) {
			b.Errorf("freeze of a frozen one: %v", err)
		}
		time.Sleep(time.Second)
		held := b.last()
		time.Sleep(time.Minute)
		if b.last() != held {
			b.Error("a record was committed on a frozen volume")
		}
		b.must(b.Fsfreeze(ctx, "/data0", false))
		time.Sleep(time.Second)
		if b.last() == held {
			b.Error("the writer hangs after the thaw")
		}
		// Outer before inner hangs until the outer is thawed.
		b.must(b.Stack("/data1", "/data0"), b.Fsfreeze(ctx, "/data0", true))
		inner := make(chan error, 1)
		go func() { inner <- b.Fsfreeze(context.Background(), "/data1", true) }()
		time.Sleep(time.Minute)
		select {
		case <-inner:
			b.Error("an inner filesystem was frozen on a frozen outer one")
		default:
		}
		b.must(b.Fsfreeze(ctx, "/data0", false), <-inner)
		if !b.Frozen("/data1") {
			b.Error("the inner freeze was lost")
		}
		b.must(b.Fsfreeze(ctx, "/data1", false))
	})
}

// A thaw in the first milliseconds of a freeze finds nothing to thaw; one that
// comes during the flush succeeds, as does the freeze, and nothing stands.
func TestAThawDuringAFreeze(t *testing.T) {
	bubble(t, 7, 1, func(b *bench) {
		b.must(b.Dirty("/data0", 64<<20))
		for _, c := range []struct {
			after  time.Duration
			thaws  error
			stands bool
		}{{time.Millisecond, syscall.EINVAL, true}, {20 * time.Millisecond, nil, false}} {
			froze := make(chan error, 1)
			go func() { froze <- b.Fsfreeze(context.Background(), "/data0", true) }()
			time.Sleep(c.after)
			if err := b.Fsfreeze(b.Context(), "/data0", false); !errors.Is(err, c.thaws) {
				b.Errorf("a thaw after %v: %v", c.after, err)
			}
			b.must(<-froze)
			if b.Frozen("/data0") != c.stands {
				b.Errorf("after a thaw at %v it stands: %v", c.after, !c.stands)
			}
			_ = b.Fsfreeze(b.Context(), "/data0", false)
		}
	})
}

// Who dies is followed by the next in line: the helper by its keeper, the keeper
// by the next command, a guard by the helper.
func TestWhoComesAfterTheDead(t *testing.T) {
	var keeper atomic.Bool // is to die at its first look
	for _, c := range []struct {
		name    string
		kill    func(*bench)
		resting bool // until the next command
	}{
		{"the helper", func(b *bench) { b.KillHelper() }, false},
		{"the helper, then its keeper", func(b *bench) { keeper.Store(true); b.KillHelper() }, true},
		{"a guard", func(b *bench) {
			if !b.KillGuard("/data1") || b.KillGuard("/data1") {
				b.Error("there is one guard to kill")
			}
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, 8, 2, func(b *bench) {
				b.config.Disturb = func(_, operation string) (bool, time.Duration) {
					if operation == "rescue" && keeper.CompareAndSwap(true, false) {
						b.KillHelper()
					}
					return false, 0
				}
				b.begin(true)
				if _, code := b.ask(protocol.Freeze, nil); code != 0 {
					b.Fatal(code)
				}
				c.kill(b)
				time.Sleep(time.Second)
				if b.Frozen("/data0") || b.Frozen("/data1") {
					b.Error("something is left frozen")
				}
				if held := len(b.ledger.Holders()) > 0; held != c.resting {
					b.Errorf("the application rests: %v", held)
				}
				b.ask(protocol.Thaw, nil)
				if held := b.ledger.Holders(); len(held) > 0 {
					b.Errorf("after the next command it is held by %v", held)
				}
			})
		})
	}
}

// A machine that goes down takes every freeze, every process and all that was
// only in memory with it.
func TestAMachineIsTurnedOff(t *testing.T) {
	bubble(t, 9, 2, func(b *bench) {
		b.begin(true)
		b.ask(protocol.Freeze, nil)
		b.Turn(false)
		if b.Frozen("/data0") {
			b.Error("a freeze outlived its machine")
		}
		before := b.last()
		b.Turn(true)
		if reply, _ := b.ask(protocol.Thaw, nil); reply.Error == nil || reply.Error.Code != fault.NoSession {
			b.Errorf("got %+v", reply.Error)
		}
		time.Sleep(time.Second)
		if b.last() != before {
			b.Error("a program came back by itself")
		}
	})
}

func TestNothingCanBeKept(t *testing.T) {
	bubble(t, 10, 1, func(b *bench) {
		b.Fill(true)
		if _, code := b.ask(protocol.Begin, func(r *protocol.Request) {
			r.Begin = &protocol.BeginRequest{SessionSeconds: 60, Application: protocol.Application{Kind: "script", PreScript: b.ledger.PreScript(), PostScript: b.ledger.PostScript()}}
		}); code == 0 {
			b.Error("a session was opened that nobody could recover")
		}
		b.Fill(false)
		if len(b.ledger.Holders()) > 0 {
			b.Error("the application was brought to rest")
		}
	})
}

func TestDirtyPagesLengthenAFreeze(t *testing.T) {
	bubble(t, 5, 1, func(b *bench) {
		b.must(b.ledger.Stop(b.Context()))
		f, err := b.at("/data0")
		b.must(err, f.write(b.Context(), "", make([]byte, 60<<20)))
		began := time.Now()
		b.must(b.Fsfreeze(b.Context(), b.mounts[0], true))
		dirty := time.Since(began)
		b.must(f.thaw(b.Context(), somebody))
		began = time.Now()
		b.must(b.Fsfreeze(b.Context(), b.mounts[0], true))
		if clean := time.Since(began); dirty < clean+40*time.Millisecond || clean > 50*time.Millisecond {
			b.Errorf("with 60 MiB dirty %v, without %v", dirty, clean)
		}
	})
}

func TestTheSameSeedIsTheSameStory(t *testing.T) {
	story := func() (acks []ledger.Ack) {
		bubble(t, 7, 2, func(b *bench) {
			b.begin(true)
			b.ask(protocol.Freeze, nil)
			b.snapshot("s")
			b.ask(protocol.Thaw, nil)
			time.Sleep(time.Second)
			b.must(b.ledger.Stop(b.Context()))
			acks = b.acks()
		})
		return acks
	}
	first, second := story(), story()
	if len(first) == 0 || fmt.Sprint(first) != fmt.Sprint(second) {
		t.Errorf("%d and %d acknowledgements, not the same", len(first), len(second))
	}
}

func TestWhatIsNoHelperCommandIsRefused(t *testing.T) {
	bubble(t, 8, 1, func(b *bench) {
		for name, cmd := range map[string]instance.Command{
			"a shell script":    {Script: "true"},
			"no base64":         {Parameters: map[string]string{"Verb": "status", "Request": "{}"}},
			"another verb":      {Parameters: map[string]string{"Verb": "thaw", "Request": base64.StdEncoding.EncodeToString([]byte(`{"verb":"freeze"}`))}},
			"an unknown script": {Parameters: map[string]string{"Verb": "dry-run", "Request": base64.StdEncoding.EncodeToString([]byte(`{"version":1,"verb":"dry-run","runId":"r","dryRun":{"scripts":["/none"]}}`))}},
		} {
			if got := b.Execute(b.Context(), cmd); got.ExitCode == 0 {
				b.Errorf("%s: %+v", name, got)
			}
		}
	})
}
