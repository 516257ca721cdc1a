package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// freezeLimit is when the guard thaws the pool if a copy takes too long.
const freezeLimit = 30 * time.Second

// take is one copy of the pool's file, kept until no snapshot needs it.
type take struct {
	path string
	refs int
}

// part is a volume's place in a take.
type part struct {
	take          *take
	offset, bytes int64
}

// Snapshot copies the volumes at one point in time: set maps volume to
// snapshot. All or none are made.
func (p *Pool) Snapshot(ctx context.Context, set map[string]string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(set) == 0 {
		return errors.New("a set of no volumes")
	}
	parts := map[string]*part{}
	t := &take{path: filepath.Join(p.takes(), fmt.Sprintf("take-%d", p.taken))}
	for volume, snapshot := range set {
		s := p.volumes[volume]
		if s == nil {
			return fmt.Errorf("no volume %s", volume)
		}
		if p.snapshots[snapshot] != nil || parts[snapshot] != nil {
			return fmt.Errorf("snapshot %s exists already", snapshot)
		}
		parts[snapshot] = &part{take: t, offset: s.offset, bytes: s.bytes}
		t.refs++
	}
	p.taken++
	if err := p.take(ctx, t, parts); err != nil {
		return errors.Join(err, os.RemoveAll(t.path))
	}
	for snapshot, part := range parts {
		p.snapshots[snapshot] = part
	}
	return nil
}

func (p *Pool) take(ctx context.Context, t *take, parts map[string]*part) error {
	to, err := os.OpenFile(t.path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer to.Close()
	if p.mode == Reflink {
		// The kernel locks the file against writes for the one call.
		if err := unix.IoctlFileClone(int(to.Fd()), int(p.file.Fd())); err != nil {
			return fmt.Errorf("cloning the volumes: %w", err)
		}
		return nil
	}
	return p.held(func() error {
		for _, part := range parts {
			if err := copyData(ctx, to, part.offset, p.file, part.offset, part.bytes); err != nil {
				return fmt.Errorf("copying the volumes: %w", err)
			}
		}
		return nil
	})
}

// held runs do while nothing can write to the pool. A filesystem on a volume
// may be frozen already: the pool is frozen after and thawed before it.
func (p *Pool) held(do func() error) error {
	g, err := newGuard(p.dir, freezeLimit, p.room.Mark())
	if err != nil {
		return err
	}
	defer g.cancel()
	if err := unix.IoctlSetInt(int(p.dir.Fd()), fiFreeze, 0); err != nil {
		return fmt.Errorf("holding the pool: %w", err)
	}
	err = do()
	if thawErr := unix.IoctlSetInt(int(p.dir.Fd()), fiThaw, 0); thawErr != nil {
		return errors.Join(err, fmt.Errorf("the hold of the pool was lost: %w", thawErr))
	}
	return err
}

// fill gives a new volume the content of a snapshot.
func (p *Pool) fill(ctx context.Context, s *slot, from *part) error {
	f, err := os.Open(from.take.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if p.mode == Reflink {
		return unix.IoctlFileCloneRange(int(p.file.Fd()), &unix.FileCloneRange{
			Src_fd: int64(f.Fd()), Src_offset: uint64(from.offset), Src_length: uint64(from.bytes), Dest_offset: uint64(s.offset),
		})
	}
	if err := copyData(ctx, p.file, s.offset, f, from.offset, from.bytes); err != nil {
		return err
	}
	return p.file.Sync() // a device reads past the page cache
}

// DeleteSnapshot removes a snapshot; volumes made from it stay.
func (p *Pool) DeleteSnapshot(_ context.Context, snapshot string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	part := p.snapshots[snapshot]
	if part == nil {
		return fmt.Errorf("no snapshot %s", snapshot)
	}
	delete(p.snapshots, snapshot)
	if part.take.refs--; part.take.refs > 0 {
		return nil
	}
	return os.Remove(part.take.path)
}

var zeros = make([]byte, 1<<20)

// copyData copies what is neither a hole nor zeros, so that a sparse volume
// costs its data.
func copyData(ctx context.Context, to *os.File, at int64, from *os.File, offset, size int64) error {
	buf := make([]byte, len(zeros))
	for pos, end := offset, offset+size; pos < end; {
		if err := ctx.Err(); err != nil {
			return err
		}
		data, err := unix.Seek(int(from.Fd()), pos, unix.SEEK_DATA)
		if errors.Is(err, unix.ENXIO) || err == nil && data >= end {
			return nil
		}
		if err != nil {
			return err
		}
		hole, err := unix.Seek(int(from.Fd()), data, unix.SEEK_HOLE)
		if err != nil {
			return err
		}
		for pos = data; pos < min(hole, end); {
			n, err := from.ReadAt(buf[:min(int64(len(buf)), min(hole, end)-pos)], pos)
			if err != nil && !(errors.Is(err, io.EOF) && n > 0) {
				return err
			}
			// The target is fresh: it reads as zeros where nothing is written.
			if !bytes.Equal(buf[:n], zeros[:n]) {
				if _, err := to.WriteAt(buf[:n], at+pos-offset); err != nil {
					return err
				}
			}
			pos += int64(n)
		}
	}
	return nil
}
