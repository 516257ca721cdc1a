package disk

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/instance"
)

var _ instance.Disks = (*Pool)(nil)

// eachMode runs the test on a pool of each mode that this host can do.
func eachMode(t *testing.T, test func(t *testing.T, p *Pool)) {
	for _, mode := range []Mode{Reflink, Frozen} {
		t.Run(string(mode), func(t *testing.T) { test(t, openPool(t, mode)) })
	}
}

func needsRealDisks(t testing.TB) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root and loop devices: not root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skipf("SKIP needs root and loop devices: %v", err)
	}
	if _, err := exec.LookPath("mkfs.ext4"); err != nil {
		t.Skipf("SKIP needs root and loop devices: and mkfs.ext4: %v", err)
	}
}

func openPool(t testing.TB, mode Mode) *Pool {
	t.Helper()
	needsRealDisks(t)
	if _, err := exec.LookPath("mkfs.xfs"); mode == Reflink && err != nil {
		t.Skipf("SKIP needs root and loop devices: and mkfs.xfs: %v", err)
	}
	p, err := Open(t.Context(), Config{Parent: t.TempDir(), Bytes: 8 << 30, Mode: mode})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
		if _, err := os.Stat(p.room.dir); !os.IsNotExist(err) {
			t.Errorf("the room %s is still there", p.room.dir)
		}
	})
	return p
}

// newMounted makes a volume with a filesystem on it and returns the mount.
func newMounted(t testing.TB, p *Pool, volume, filesystem string) string {
	t.Helper()
	must(t, p.Create(t.Context(), volume, 512<<20, ""))
	device, err := p.Attach(t.Context(), volume)
	must(t, err)
	must(t, Format(t.Context(), device, filesystem))
	at := filepath.Join(p.room.dir, "mnt-"+volume)
	must(t, p.Mount(device, at))
	return at
}

// restore makes a volume from a snapshot and returns its unmounted device.
func restore(t testing.TB, p *Pool, volume, snapshot string) string {
	t.Helper()
	must(t, p.Create(context.Background(), volume, 0, snapshot))
	device, err := p.Attach(context.Background(), volume)
	must(t, err)
	return device
}

func discard(t testing.TB, p *Pool, volume string) {
	t.Helper()
	must(t, p.Detach(context.Background(), volume))
	must(t, p.Delete(context.Background(), volume))
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// chain writes numbered records, each fsynced to every volume in order before
// the next: a later volume never holds more than an earlier one.
type chain struct {
	files         []*os.File
	issued, acked atomic.Int64
	stop          context.CancelFunc
	done          sync.WaitGroup
}

func startChain(t *testing.T, mounts []string) *chain {
	ctx, stop := context.WithCancel(context.Background())
	c := &chain{stop: stop}
	for _, at := range mounts {
		f, err := os.OpenFile(filepath.Join(at, "records"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		must(t, err)
		c.files = append(c.files, f)
	}
	c.done.Go(func() {
		for i := int64(1); ctx.Err() == nil; i++ {
			c.issued.Store(i)
			for _, f := range c.files {
				if _, err := fmt.Fprintf(f, "%08d\n", i); err != nil {
					t.Error(err)
					return
				}
				if err := f.Sync(); err != nil {
					t.Error(err)
					return
				}
			}
			c.acked.Store(i)
		}
	})
	t.Cleanup(c.end)
	return c
}

func (c *chain) end() {
	c.stop()
	c.done.Wait()
	for _, f := range c.files {
		f.Close()
	}
}

func (c *chain) reach(t *testing.T, n int64) {
	t.Helper()
	must(t, within(20*time.Second, func() error {
		if got := c.acked.Load(); got < n {
			return fmt.Errorf("%d of %d records", got, n)
		}
		return nil
	}))
}

// recordsOn restores a snapshot, has its log replayed and checked, and counts
// the records of the chain.
func recordsOn(t *testing.T, p *Pool, snapshot string) int64 {
	t.Helper()
	volume := "restored-" + snapshot
	device := restore(t, p, volume, snapshot)
	at := filepath.Join(p.room.dir, volume)
	must(t, p.Mount(device, at))
	data, err := os.ReadFile(filepath.Join(at, "records"))
	must(t, err)
	must(t, p.Unmount(at))
	must(t, Check(t.Context(), device))
	discard(t, p, volume)
	return int64(strings.Count(string(data), "\n"))
}

func TestSnapshotOfRunningWritersIsOnePointInTime(t *testing.T) {
	eachMode(t, func(t *testing.T, p *Pool) {
		var mounts []string
		for i, filesystem := range []string{Ext4, XFS, Ext4} {
			if _, err := exec.LookPath("mkfs.xfs"); err != nil {
				filesystem = Ext4
			}
			mounts = append(mounts, newMounted(t, p, fmt.Sprintf("v%d", i), filesystem))
		}
		c := startChain(t, mounts)
		const rounds = 8
		var from, to [rounds]int64
		for r := range rounds {
			c.reach(t, int64(10*(r+1)))
			from[r] = c.acked.Load()
			must(t, p.Snapshot(t.Context(), map[string]string{
				"v0": fmt.Sprintf("r%d-0", r), "v1": fmt.Sprintf("r%d-1", r), "v2": fmt.Sprintf("r%d-2", r),
			}))
			to[r] = c.issued.Load()
		}
		c.end()
		for r := range rounds {
			var n [3]int64
			for i := range n {
				n[i] = recordsOn(t, p, fmt.Sprintf("r%d-%d", r, i))
			}
			if n[0] < n[1] || n[1] < n[2] || n[0] > n[2]+1 {
				t.Errorf("round %d: volumes hold %v records: not one point in time", r, n)
			}
			if n[2] < from[r] || n[0] > to[r] {
				t.Errorf("round %d: volumes hold %v records, want %d to %d", r, n, from[r], to[r])
			}
		}
	})
}

// The test above can fail: volumes copied one after another are not one moment.
func TestSnapshotsInTurnAreNotOnePointInTime(t *testing.T) {
	p := openPool(t, Frozen)
	c := startChain(t, []string{newMounted(t, p, "a", Ext4), newMounted(t, p, "b", Ext4)})
	c.reach(t, 5)
	must(t, p.Snapshot(t.Context(), map[string]string{"a": "snap-a"}))
	c.reach(t, c.acked.Load()+5)
	must(t, p.Snapshot(t.Context(), map[string]string{"b": "snap-b"}))
	c.end()
	if a, b := recordsOn(t, p, "snap-a"), recordsOn(t, p, "snap-b"); b <= a {
		t.Errorf("first copy holds %d records, later one %d: want the later to hold more", a, b)
	}
}

func TestVolumesAndSnapshotsLiveOnTheirOwn(t *testing.T) {
	eachMode(t, func(t *testing.T, p *Pool) {
		ctx := t.Context()
		at := newMounted(t, p, "v", Ext4)
		must(t, os.WriteFile(filepath.Join(at, "kept"), []byte("before"), 0o600))
		if err := p.Detach(ctx, "v"); err == nil {
			t.Error("a mounted volume was detached")
		}
		if err := p.Delete(ctx, "v"); err == nil {
			t.Error("an attached volume was deleted")
		}
		must(t, p.Unmount(at))
		must(t, p.Snapshot(ctx, map[string]string{"v": "s"}))
		if err := p.Snapshot(ctx, map[string]string{"v": "s"}); err == nil {
			t.Error("a snapshot was taken twice under one name")
		}
		discard(t, p, "v")
		device := restore(t, p, "w", "s")
		must(t, p.DeleteSnapshot(ctx, "s"))
		must(t, p.Mount(device, at))
		got, err := os.ReadFile(filepath.Join(at, "kept"))
		if err != nil || string(got) != "before" {
			t.Errorf("restored content = %q, %v", got, err)
		}
		if err := p.Create(ctx, "x", 1<<20, "s"); err == nil {
			t.Error("a volume was made from a deleted snapshot")
		}
		left, err := os.ReadDir(p.takes())
		if err != nil || len(left) != 0 {
			t.Errorf("takes left after the last snapshot: %v, %v", left, err)
		}
	})
}

func TestAnEmptyVolumeReadsAsZeros(t *testing.T) {
	p := openPool(t, Frozen)
	must(t, p.Create(t.Context(), "v", 1<<20+1, ""))
	device, err := p.Attach(t.Context(), "v")
	must(t, err)
	data, err := os.ReadFile(device)
	if err != nil || len(data) != 2<<20 || strings.Trim(string(data), "\x00") != "" {
		t.Errorf("a volume of 1 MiB + 1 reads %d bytes, %v; want 2 MiB of zeros", len(data), err)
	}
}

// A mount in another namespace stands for a moment after the last process there
// has ended.
func TestDetachWaitsForANamespaceThatEnds(t *testing.T) {
	eachMode(t, func(t *testing.T, p *Pool) {
		at := newMounted(t, p, "v", Ext4)
		other := exec.Command("unshare", "--mount", "--propagation", "private", "sh", "-c", "echo there; read gone")
		in, err := other.StdinPipe()
		must(t, err)
		out, err := other.StdoutPipe()
		must(t, err)
		must(t, other.Start())
		_, err = bufio.NewReader(out).ReadString('\n')
		must(t, err)
		must(t, p.Unmount(at))
		time.AfterFunc(100*time.Millisecond, func() { in.Close() })
		must(t, p.Detach(t.Context(), "v"))
		_ = other.Wait()
	})
}
