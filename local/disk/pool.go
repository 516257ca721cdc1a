// Package disk gives a machine its volumes: loop devices over a private pool,
// with snapshots that are one point in time across all of them.
//
// All volumes lie in one file of the pool. Copying that one file at once is
// what makes the copies of several volumes the same moment, whether or not
// anybody holds the filesystems on them.
package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// Mode is how a pool copies at one point in time.
type Mode string

const (
	// Reflink shares the blocks by one FICLONE, on an xfs pool.
	Reflink Mode = "reflink"
	// Frozen holds all writes to an ext4 pool while the data is copied out.
	Frozen Mode = "frozen"
)

// Config of a pool. The zero value takes the best that the host has.
type Config struct {
	Parent string // where the room is made; empty means DefaultParent
	Bytes  int64  // size of the pool, sparse; 0 means 64 GiB
	Mode   Mode   // empty means Reflink where mkfs.xfs is there, else Frozen
}

const (
	poolImage   = "pool.img"
	poolDir     = "pool"
	volumesFile = "volumes"
	takesDir    = "takes"
	align       = 1 << 20 // slots begin here; every filesystem's block fits
)

// Pool is the storage under a host's machines; it implements instance.Disks.
// It lives as long as its process: nothing but the journal outlasts it.
type Pool struct {
	room *Room
	mode Mode
	file *os.File // all volumes, in slots
	dir  *os.File // the root of the pool's filesystem

	mu        sync.Mutex
	end       int64 // slots are never used twice
	taken     int
	volumes   map[string]*slot
	snapshots map[string]*part
}

// slot is a volume's place in the file.
type slot struct {
	offset, bytes int64
	device        string // empty: not attached
}

// Open makes a room with a pool in it.
func Open(ctx context.Context, config Config) (*Pool, error) {
	if config.Bytes == 0 {
		config.Bytes = 64 << 30
	}
	if config.Mode == "" {
		config.Mode = Frozen
		if _, err := exec.LookPath("mkfs.xfs"); err == nil {
			config.Mode = Reflink
		}
	}
	room, err := NewRoom(config.Parent)
	if err != nil {
		return nil, err
	}
	p := &Pool{room: room, mode: config.Mode, volumes: map[string]*slot{}, snapshots: map[string]*part{}}
	if err := p.open(ctx, config.Bytes); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

func (p *Pool) open(ctx context.Context, bytes int64) error {
	image, at := filepath.Join(p.room.dir, poolImage), filepath.Join(p.room.dir, poolDir)
	file, err := os.OpenFile(image, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(bytes), file.Close()); err != nil {
		return err
	}
	if err := p.mkfsPool(ctx, image); err != nil {
		return err
	}
	device, err := p.room.loopAttach(image, 0, bytes, "quiesce-pool")
	if err != nil {
		return err
	}
	if err := p.room.record(entry{Kind: kindMount, Path: at}); err != nil {
		return err
	}
	if err := mount(device, at); err != nil {
		return err
	}
	if p.dir, err = os.Open(at); err != nil {
		return err
	}
	if err := os.Mkdir(p.takes(), 0o700); err != nil {
		return err
	}
	p.file, err = os.OpenFile(filepath.Join(at, volumesFile), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	return err
}

func (p *Pool) mkfsPool(ctx context.Context, image string) error {
	if p.mode == Reflink {
		return run(ctx, "mkfs.xfs", "-q", "-f", "-K", "-m", "reflink=1", "-s", fmt.Sprintf("size=%d", sector), image)
	}
	if _, err := exec.LookPath("fsfreeze"); err != nil {
		return fmt.Errorf("the thaw guard needs it: %w", err)
	}
	return run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-i", "1048576",
		"-E", "lazy_itable_init=0,lazy_journal_init=1", image)
}

// takes is where copies are kept: with the pool where they share its blocks,
// beside it where writes to the pool are held meanwhile.
func (p *Pool) takes() string {
	if p.mode == Reflink {
		return filepath.Join(p.room.dir, poolDir, takesDir)
	}
	return filepath.Join(p.room.dir, takesDir)
}

// Room is the pool's private directory. It is root's own, up to the top if its
// parent is.
func (p *Pool) Room() *Room { return p.room }

// Mode is how this pool takes its snapshots.
func (p *Pool) Mode() Mode { return p.mode }

// Create makes a volume, empty or with the content of a snapshot.
func (p *Pool) Create(ctx context.Context, volume string, bytes int64, snapshot string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, there := p.volumes[volume]; there {
		return fmt.Errorf("volume %s exists already", volume)
	}
	var from *part
	if snapshot != "" {
		if from = p.snapshots[snapshot]; from == nil {
			return fmt.Errorf("no snapshot %s", snapshot)
		}
		bytes = max(bytes, from.bytes)
	}
	if bytes <= 0 {
		return fmt.Errorf("volume %s: %d bytes", volume, bytes)
	}
	s := &slot{offset: p.end, bytes: (bytes + align - 1) / align * align}
	if err := p.file.Truncate(s.offset + s.bytes); err != nil {
		return err
	}
	p.end += s.bytes
	if from != nil {
		if err := p.fill(ctx, s, from); err != nil {
			return errors.Join(fmt.Errorf("filling volume %s: %w", volume, err), p.punch(s))
		}
	}
	p.volumes[volume] = s
	return nil
}

// Attach makes the volume a block device and returns its path; one that is
// attached already keeps its own.
func (p *Pool) Attach(_ context.Context, volume string) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.volumes[volume]
	if s == nil {
		return "", fmt.Errorf("no volume %s", volume)
	}
	if s.device == "" {
		device, err := p.room.loopAttach(p.file.Name(), s.offset, s.bytes, "quiesce-"+volume)
		if err != nil {
			return "", err
		}
		s.device = device
	}
	return s.device, nil
}

// Detach takes the device away. It refuses one that is in use.
func (p *Pool) Detach(_ context.Context, volume string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.volumes[volume]
	if s == nil {
		return fmt.Errorf("no volume %s", volume)
	}
	if s.device == "" {
		return nil
	}
	if err := loopDetach(s.device); err != nil {
		return err
	}
	s.device = ""
	return nil
}

// Delete removes a detached volume and gives its blocks back.
func (p *Pool) Delete(_ context.Context, volume string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := p.volumes[volume]
	if s == nil {
		return fmt.Errorf("no volume %s", volume)
	}
	if s.device != "" {
		return fmt.Errorf("volume %s is attached as %s", volume, s.device)
	}
	delete(p.volumes, volume)
	return p.punch(s)
}

func (p *Pool) punch(s *slot) error {
	return unix.Fallocate(int(p.file.Fd()), unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, s.offset, s.bytes)
}

// Close takes everything away again: processes, mounts, devices, files.
func (p *Pool) Close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range []*os.File{p.file, p.dir} {
		if f != nil {
			f.Close() // a second Close of an unfinished one changes nothing
		}
	}
	return p.room.Close()
}

// run executes a program of the host; what it said is in the error.
func run(ctx context.Context, name string, args ...string) error {
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w: %s", name, err, strings.TrimSpace(string(out)))
	}
	return nil
}
