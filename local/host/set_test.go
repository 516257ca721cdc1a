package host

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/run"
)

// The test binary is the ledger's program too.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "ledger" {
		var err error
		if ctx := context.Background(); os.Args[2] == "serve" {
			err = ledger.Serve(ctx, os.Args[3:], os.Stdin, os.Stdout)
		} else {
			err = ledger.Client(ctx, os.Args[2:], os.Stdout)
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// bench is a host with a ledger running on mounted volumes.
type bench struct {
	*testing.T
	pool    *disk.Pool
	machine *Machine
	ledger  *ledger.Process
	mounts  []string
}

func newBench(t *testing.T, mode disk.Mode, filesystem string, volumes int) *bench {
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root and loop devices: not root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("SKIP needs root and loop devices: %v", err)
	}
	for _, tool := range []string{"mkfs.ext4", "mkfs.xfs", "fsfreeze"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIP needs root and loop devices: and %s: %v", tool, err)
		}
	}
	pool, err := disk.Open(t.Context(), disk.Config{Parent: t.TempDir(), Bytes: 8 << 30, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := pool.Close(); err != nil {
			t.Error(err)
		}
	})
	b := &bench{T: t, pool: pool, machine: &Machine{Env: []string{pool.Room().Mark()}}}
	for i := range volumes {
		name := fmt.Sprint("vol", i)
		b.must(pool.Create(t.Context(), name, 512<<20, ""))
		device, err := pool.Attach(t.Context(), name)
		b.must(err, disk.Format(t.Context(), device, filesystem))
		at := filepath.Join(pool.Room().Dir(), "mnt", name)
		b.must(pool.Mount(device, at))
		b.mounts = append(b.mounts, at)
	}
	b.ledger, err = ledger.Start(t.Context(), ledger.Options{
		Verb: []string{"ledger"}, Dir: filepath.Join(pool.Room().Dir(), "ledger"), Mounts: b.mounts,
		Load: 8 << 20, Env: []string{pool.Room().Mark()}, Own: pool.Room().Own,
	})
	b.must(err)
	return b
}

func (b *bench) must(errs ...error) {
	b.Helper()
	if err := errors.Join(errs...); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) sh(script string) string {
	b.Helper()
	got := b.machine.Execute(b.Context(), instance.Command{Script: script})
	if got.ExitCode != 0 {
		b.Fatalf("%s: %d %s", script, got.ExitCode, got.Stderr)
	}
	return strings.TrimSpace(string(got.Stdout))
}

// grow waits until the ledger has n more records.
func (b *bench) grow(n uint64) {
	b.Helper()
	first, err := b.ledger.Last(b.Context())
	b.must(err)
	for last := first; last.N < first.N+n; time.Sleep(time.Millisecond) {
		last, err = b.ledger.Last(b.Context())
		b.must(err)
	}
}

func mono() int64 {
	ns, _ := ledger.MonotonicClock()
	return ns
}

// snapshot takes the set and tells when the call was under way.
func (b *bench) snapshot(name string) ledger.Span {
	b.Helper()
	set := map[string]string{}
	for i := range b.mounts {
		set[fmt.Sprint("vol", i)] = fmt.Sprint(name, i)
	}
	start := mono()
	b.must(b.pool.Snapshot(b.Context(), set))
	return ledger.Span{Start: start, End: mono()}
}

// frozen does something while all volumes are frozen. A process of its own
// thaws them if this one does not.
func (b *bench) frozen(do func()) ledger.Window {
	b.Helper()
	thaw := "fsfreeze -u " + strings.Join(b.mounts, "; fsfreeze -u ")
	guard := b.sh("setsid sh -c 'sleep 20; " + thaw + "' >/dev/null 2>&1 & echo $!")
	for _, at := range b.mounts {
		b.sh("fsfreeze -f " + at)
	}
	frozenAt := mono()
	time.Sleep(50 * time.Millisecond) // real writers have to be seen waiting
	do()
	w := ledger.Window{FrozenAt: frozenAt, ThawAt: mono()}
	b.sh(thaw)
	b.sh("kill -KILL -" + guard)
	return w
}

// verify restores a set and puts it before the oracle.
func (b *bench) verify(name string, c ledger.Case) ledger.Result {
	b.Helper()
	ctx := b.Context()
	for i := range b.mounts {
		snapshot := fmt.Sprint(name, i)
		volume := "restored-" + snapshot
		b.must(b.pool.Create(ctx, volume, 0, snapshot))
		device, err := b.pool.Attach(ctx, volume)
		b.must(err)
		condition, err := disk.Inspect(ctx, device)
		b.must(err)
		at := filepath.Join(b.pool.Room().Dir(), volume)
		b.must(b.pool.Mount(device, at))
		contents, err := ledger.Read(at)
		b.must(err, b.pool.Unmount(at), disk.Check(ctx, device))
		b.must(b.pool.Detach(ctx, volume), b.pool.Delete(ctx, volume))
		c.Volumes = append(c.Volumes, ledger.Volume{Name: volume, Contents: contents,
			Log: &ledger.Log{Settled: condition.Settled, Detail: condition.Detail}})
	}
	acks, err := b.ledger.Acks()
	b.must(err)
	c.Acks = acks
	return ledger.Verify(c)
}

func TestSetsAreWhatTheyAreLabelled(t *testing.T) {
	for _, mode := range []disk.Mode{disk.Reflink, disk.Frozen} {
		for _, filesystem := range []string{disk.Ext4, disk.XFS} {
			t.Run(fmt.Sprint(mode, "-", filesystem), func(t *testing.T) {
				b := newBench(t, mode, filesystem, 2)
				b.grow(20)
				crash := ledger.Case{Asked: run.Crash, Call: b.snapshot("crash")}
				b.grow(20)

				held := ledger.Case{Asked: run.Filesystem}
				held.Window = b.frozen(func() { held.Call = b.snapshot("frozen") })
				b.grow(20)

				whole := ledger.Case{Asked: run.Application}
				b.sh(b.ledger.PreScript())
				whole.Window = b.frozen(func() { whole.Call = b.snapshot("whole") })
				b.sh(b.ledger.PostScript())
				b.grow(20)
				last, err := b.ledger.Last(t.Context())
				b.must(err, b.ledger.Stop(t.Context()))

				for name, c := range map[string]ledger.Case{"crash": crash, "frozen": held, "whole": whole} {
					if r := b.verify(name, c); !r.Verified {
						t.Errorf("%s: %+v", name, r)
					}
				}
				// The same set under a label that it does not deserve.
				crash.Window = held.Window
				crash.Asked = run.Application
				if r := b.verify("crash", crash); r.Verified || len(r.Findings) < 3 {
					t.Errorf("a crash-consistent set passed for more: %+v", r)
				}
				acks, err := b.ledger.Acks()
				b.must(err)
				if n := len(acks); n == 0 || acks[n-1].N < last.N {
					t.Errorf("%d acknowledgements, the last one seen was %d", n, last.N)
				}
				gap := ledger.Pause(acks, ledger.Span{Start: held.Window.FrozenAt, End: held.Window.ThawAt})
				if gap.Ms() < 50 {
					t.Errorf("the writer was held for %.1f ms of a freeze of 50", gap.Ms())
				}
			})
		}
	}
}

func TestClosingFreesAWriterThatIsBlocked(t *testing.T) {
	b := newBench(t, disk.Reflink, disk.Ext4, 2)
	dir, err := os.Open(b.mounts[1])
	b.must(err, unix.IoctlSetInt(int(dir.Fd()), 0xC0045877, 0), dir.Close())
	for last := int64(-1); ; time.Sleep(20 * time.Millisecond) {
		acks, err := b.ledger.Acks()
		b.must(err)
		if int64(len(acks)) == last {
			break // nothing in 20 ms: it is held
		}
		last = int64(len(acks))
	}
	b.must(b.pool.Close())
}
