package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/local/disk"
	"github.com/quiesce/quiesce/local/fault"
	"github.com/quiesce/quiesce/local/host"
	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/ledger"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// realStage is this host with volumes on loop devices.
type realStage struct {
	pool    *disk.Pool
	host    *host.Machine
	mark    string // in the environment of the helper
	fs      string
	mounts  []string
	writer  *ledger.Process
	monoAt  int64
	wallAt  time.Time
	foreign []string // mounts that a planned fault froze
}

// openReal makes the pool in a room of its own. The helper keeps its state and
// its binary there, so that nothing of a run is left on the host.
func openReal(ctx context.Context, fs string) (*realStage, error) {
	pool, err := disk.Open(ctx, disk.Config{})
	if err != nil {
		return nil, err
	}
	s := &realStage{pool: pool, fs: fs}
	s.monoAt, s.wallAt = ledger.MonotonicClock()
	home := filepath.Join(s.dir(), "home")
	state, err := pool.Room().Memory("run")
	if err := errors.Join(err, os.Mkdir(home, 0o700)); err != nil {
		return nil, errors.Join(err, pool.Close())
	}
	s.mark = disk.EnvRun + "=" + state
	s.host = &host.Machine{Env: []string{s.mark, "QUIESCE_HOME=" + home}}
	return s, nil
}

func (s *realStage) machine() instance.Machine { return s.host }
func (s *realStage) disks() instance.Disks     { return s.pool }
func (s *realStage) dir() string               { return s.pool.Room().Dir() }
func (s *realStage) close() error              { return s.pool.Close() }

func (s *realStage) mono(t time.Time) int64 { return s.monoAt + t.Sub(s.wallAt).Nanoseconds() }

func (s *realStage) furnish(ctx context.Context, volumes []member) error {
	if err := s.mountAll(ctx, volumes); err != nil {
		return err
	}
	writer, err := ledger.Start(ctx, ledger.Options{
		Verb: []string{"ledger"}, Dir: s.dir(), Mounts: s.mounts,
		Env: []string{s.pool.Room().Mark()}, Own: s.pool.Room().Own,
	})
	s.writer = writer
	return err
}

// mountAll makes a filesystem on each volume and mounts it.
func (s *realStage) mountAll(ctx context.Context, volumes []member) error {
	for i, v := range volumes {
		at := filepath.Join(s.dir(), "mnt", fmt.Sprintf("volume-%c", 'a'+i))
		if err := disk.Format(ctx, v.device, s.fs); err != nil {
			return err
		}
		if err := os.MkdirAll(at, 0o700); err != nil {
			return err
		}
		if err := s.pool.Mount(v.device, at); err != nil {
			return err
		}
		s.mounts = append(s.mounts, at)
	}
	return nil
}

func (s *realStage) changed(context.Context) (string, error) { return "", nil }

func (s *realStage) policy(o Options) policy.Policy { return o.Policy(s.scripts()) }

func (s *realStage) scripts() (pre, post string) { return s.writer.PreScript(), s.writer.PostScript() }

func (s *realStage) acks(ctx context.Context) ([]ledger.Ack, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	stopped := s.writer.Stop(ctx)
	acks, err := s.writer.Acks()
	return acks, errors.Join(stopped, err)
}

func (s *realStage) read(ctx context.Context, volumes []member, _ run.Consistency) (*restored, error) {
	found := &restored{}
	for i, v := range volumes {
		disk, err := s.mountRestored(ctx, i, v)
		if err != nil {
			return nil, err
		}
		if disk.Contents, err = ledger.Read(s.restoredAt(i)); err != nil {
			return nil, err
		}
		if err := s.unmountRestored(ctx, i, v); err != nil {
			return nil, err
		}
		found.volumes = append(found.volumes, disk)
	}
	return found, nil
}

func (s *realStage) restoredAt(i int) string {
	return filepath.Join(s.dir(), "restored", fmt.Sprintf("volume-%c", 'a'+i))
}

// mountRestored mounts a restored volume, after its log was looked at.
func (s *realStage) mountRestored(ctx context.Context, i int, v member) (ledger.Volume, error) {
	condition, err := disk.Inspect(ctx, v.device)
	if err != nil {
		return ledger.Volume{}, err
	}
	at := s.restoredAt(i)
	if err := os.MkdirAll(at, 0o700); err != nil {
		return ledger.Volume{}, err
	}
	if err := s.pool.Mount(v.device, at); err != nil {
		return ledger.Volume{}, fmt.Errorf("mount the restored %s: %w", v.id, err)
	}
	return ledger.Volume{Name: filepath.Base(at), Log: &ledger.Log{Settled: condition.Settled, Detail: condition.Detail}}, nil
}

// unmountRestored unmounts it and checks its filesystem.
func (s *realStage) unmountRestored(ctx context.Context, i int, v member) error {
	if err := s.pool.Unmount(s.restoredAt(i)); err != nil {
		return err
	}
	if err := disk.Check(ctx, v.device); err != nil {
		return fmt.Errorf("check the restored %s: %w", v.id, err)
	}
	return nil
}

// Requests of the kernel, which its Go package has no names for.
const (
	fifreeze = 0xC0045877
	fithaw   = 0xC0045878
)

func freezer(mount string, request uint) error {
	dir, err := os.Open(mount)
	if err != nil {
		return err
	}
	defer dir.Close()
	return unix.IoctlSetInt(int(dir.Fd()), request, 0)
}

// leftFrozen asks the kernel, not the helper: it thaws what was frozen and
// refuses where nothing was. What a planned fault froze is not counted.
func (s *realStage) leftFrozen() (n int) {
	for _, m := range s.foreign {
		_ = freezer(m, fithaw) // refused if somebody else has undone it
	}
	for _, m := range s.mounts {
		if freezer(m, fithaw) == nil {
			n++
		}
	}
	return n
}

func (s *realStage) hooks() map[fault.Kind]func(context.Context) {
	return map[fault.Kind]func(context.Context){
		fault.KillHelper: func(context.Context) {
			for _, pid := range s.processes("_daemon") {
				_ = unix.Kill(pid, unix.SIGKILL)
			}
		},
		// A thaw and a second freeze at once: invisible to everything but a
		// tripwire.
		fault.ForeignThaw: func(context.Context) {
			if freezer(s.mounts[0], fithaw) == nil {
				s.foreignFreeze(s.mounts[0])
			}
		},
		fault.ForeignFreeze: func(context.Context) { s.foreignFreeze(s.mounts[0]) },
	}
}

// foreignFreeze is somebody else's: the helper must not thaw it, hence its
// owner here takes it back in time.
func (s *realStage) foreignFreeze(mount string) {
	if freezer(mount, fifreeze) == nil {
		s.foreign = append(s.foreign, mount)
		time.AfterFunc(foreignHold, func() { _ = freezer(mount, fithaw) }) // refused if it was thawed before
	}
}

// processes are those of this run's helper that have a role.
func (s *realStage) processes(role string) (pids []int) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		cmdline, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "cmdline"))
		environ, _ := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		args := strings.Split(string(cmdline), "\x00")
		if len(args) > 1 && args[0] == "quiesce-guest" && args[1] == role &&
			strings.Contains("\x00"+string(environ), "\x00"+s.mark+"\x00") {
			pids = append(pids, pid)
		}
	}
	return pids
}
