package sim

import (
	"context"
	"fmt"
	"hash/fnv"
	"maps"
	"math/rand/v2"
	"slices"
	"syscall"
	"time"
)

// The timings were measured on ext4 and xfs on loop devices.
const (
	freezeLeast   = 31 * time.Millisecond
	freezeSpread  = 14 * time.Millisecond
	syncLeast     = 400 * time.Microsecond
	syncSpread    = 800 * time.Microsecond
	flushRate     = 1 << 30              // bytes a second
	freezeEarly   = 2 * time.Millisecond // of a freeze call, in which a thaw finds nothing to thaw
	thawTakes     = 50 * time.Microsecond
	writebackEach = 512 << 20 // dirty bytes from which the kernel flushes by itself
)

// image is what a disk holds: the files as they were last made durable.
type image struct {
	kind    string
	settled bool // its log has nothing to recover
	damaged bool
	bytes   int64
	files   map[string][]byte
}

func (i image) clone() image {
	i.files = maps.Clone(i.files)
	for name, data := range i.files {
		i.files[name] = slices.Clip(data) // appended to, never changed in place
	}
	return i
}

// filesystem is one mounted superblock. All fields are under Machine.mu.
type filesystem struct {
	m      *Machine
	mount  string
	number string // major:minor
	disk   *volume
	on     *filesystem // the one that its device's file lies on, if any
	dice   *rand.Rand

	files    map[string][]byte // as programs see them
	dirty    int64             // bytes besides the files' own
	written  int64             // bytes that the device took
	freezing bool              // writers are held
	flushing bool              // and what is dirty is being written
	undone   bool              // somebody thawed meanwhile
	frozen   bool
	owner    string        // the run that froze it; empty for others
	thaws    int           // tripwires see them
	changed  chan struct{} // closed and replaced at every change of the above
}

// tell wakes all who wait for a change. Its caller holds the lock.
func (f *filesystem) tell() {
	close(f.changed)
	f.changed = make(chan struct{})
}

// until waits for a condition on the filesystem and returns with the lock held
// when it is true; without it when ctx ended first.
func (f *filesystem) until(ctx context.Context, cond func() bool) error {
	for {
		f.m.mu.Lock()
		if cond() {
			return nil
		}
		changed := f.changed
		f.m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// write puts data at the end of a file, or only dirties as much if name is
// empty. It waits as long as the filesystem is frozen.
func (f *filesystem) write(ctx context.Context, name string, data []byte) error {
	if err := f.until(ctx, func() bool { return !f.freezing && !f.frozen }); err != nil {
		return err
	}
	defer f.m.mu.Unlock()
	f.disk.image.settled = false
	if name == "" {
		if f.dirty += int64(len(data)); f.dirty > writebackEach {
			f.written += f.dirty
			f.dirty = 0
		}
		return nil
	}
	f.files[name] = append(f.files[name], data...)
	return nil
}

// sync makes a file durable as it is now.
func (f *filesystem) sync(ctx context.Context, name string) error {
	f.m.mu.Lock()
	data := f.files[name]
	d := syncLeast + f.jitter(syncSpread)
	f.m.mu.Unlock()
	if !wait(ctx, d) {
		return ctx.Err()
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if len(data) > len(f.disk.image.files[name]) {
		f.written += int64(len(data) - len(f.disk.image.files[name]))
		f.disk.image.files[name] = slices.Clip(data)
	}
	return nil
}

// flush writes everything out, as syncfs does, and returns the device's share.
func (f *filesystem) flush(ctx context.Context) (int64, error) {
	f.m.mu.Lock()
	before, dirty := f.written, f.dirty
	f.dirty = 0
	d := syncLeast + f.jitter(syncSpread) + transfer(dirty)
	f.m.mu.Unlock()
	if !wait(ctx, d) {
		return 0, ctx.Err()
	}
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	f.written += dirty
	f.settleFiles()
	return f.written - before, nil
}

func (f *filesystem) settleFiles() {
	for name, data := range f.files {
		f.disk.image.files[name] = slices.Clip(data)
	}
}

func transfer(bytes int64) time.Duration {
	return time.Duration(bytes) * time.Second / flushRate
}

// jitter is under the lock, as the dice are.
func (f *filesystem) jitter(spread time.Duration) time.Duration {
	return time.Duration(f.dice.Int64N(int64(spread)))
}

// freeze is FIFREEZE: it holds the writers, flushes and then stands. Nothing
// can cut it short; a filesystem on a frozen one waits for that to be thawed. It
// returns how many thaws there had been when it stood. A thaw that comes during
// the flush lets both calls succeed, and nothing is frozen.
func (f *filesystem) freeze(owner, by string) (thaws int, err error) {
	m := f.m
	m.mu.Lock()
	if f.frozen || f.freezing {
		m.mu.Unlock()
		return 0, syscall.EBUSY
	}
	f.freezing, f.undone = true, false
	boot := m.boot
	d := freezeLeast + f.jitter(freezeSpread) + transfer(f.dirty)
	m.mu.Unlock()
	forever := context.Background()
	wait(forever, freezeEarly)
	m.mu.Lock()
	f.flushing = true
	m.mu.Unlock()
	wait(forever, d/2)
	refused := false
	if owner != "" {
		var stall time.Duration
		refused, stall = m.disturb("freeze", "freezing")
		d += stall
	}
	wait(forever, d-d/2)
	if f.on != nil {
		_ = f.on.until(forever, func() bool { return !f.on.frozen && !f.on.freezing })
		m.mu.Unlock()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f.freezing, f.flushing = false, false
	defer f.tell()
	switch {
	case m.boot != boot || m.off: // the machine went down meanwhile
		return 0, syscall.EIO
	case refused:
		return 0, syscall.EIO
	}
	f.written += f.dirty
	f.dirty = 0
	f.settleFiles()
	if f.undone {
		return f.thaws - 1, nil
	}
	f.disk.image.settled = true
	f.frozen, f.owner = true, owner
	m.tell(Event{Kind: Froze, Mount: f.mount, Run: owner, By: by})
	return f.thaws, nil
}

// turn is when of several who come at one moment each has his: always in the
// same order, which is nobody's to decide otherwise.
func turn(who string) time.Duration {
	h := fnv.New32a()
	h.Write([]byte(who))
	return time.Duration(h.Sum32()%10_000) * time.Nanosecond
}

// thaw is FITHAW: EINVAL while nothing is frozen, the beginning of a freeze call
// included. On a frozen filesystem it waits for that one's thaw.
func (f *filesystem) thaw(ctx context.Context, by string) error {
	if f.on != nil {
		if err := f.on.until(ctx, func() bool { return !f.on.frozen }); err != nil {
			return err
		}
		f.m.mu.Unlock()
	}
	wait(context.Background(), thawTakes+turn(by+f.mount))
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	switch {
	case f.freezing && f.flushing && !f.undone:
		f.undone = true
	case !f.frozen:
		return syscall.EINVAL
	}
	f.m.tell(Event{Kind: Thawed, Mount: f.mount, Run: f.owner, By: by})
	f.frozen, f.owner = false, ""
	f.thaws++
	f.tell()
	return nil
}

// Fsfreeze is what somebody else does with the command of this name. It fails
// as the kernel does, with EBUSY or EINVAL.
func (m *Machine) Fsfreeze(ctx context.Context, mount string, freeze bool) error {
	if !freeze {
		return m.FsfreezeBy(ctx, somebody, mount, false)
	}
	return m.FsfreezeBy(ctx, "", mount, true)
}

// FsfreezeBy is the same by a program that has a name.
func (m *Machine) FsfreezeBy(ctx context.Context, who, mount string, freeze bool) error {
	f, err := m.at(mount)
	if err != nil {
		return err
	}
	if freeze {
		_, err := f.freeze("", who)
		return err
	}
	return f.thaw(ctx, who)
}

// Frozen tells whether the filesystem at the mount point is frozen now.
func (m *Machine) Frozen(mount string) bool {
	f, err := m.at(mount)
	if err != nil {
		return false
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return f.frozen
}

func (m *Machine) at(mount string) (*filesystem, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.filesystems[mount]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("%s is not mounted", mount)
}

// Dirty makes so much of the page cache dirty.
func (m *Machine) Dirty(mount string, bytes int64) error {
	f, err := m.at(mount)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	f.dirty += bytes
	return nil
}
