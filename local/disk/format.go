package disk

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"
)

// Filesystems that Format makes.
const (
	Ext4 = "ext4"
	XFS  = "xfs"
)

// Format makes a filesystem on a new volume's device, ready at once: nothing
// is left for the kernel to initialise in the background, and nothing that
// reads as zeros already is written.
func Format(ctx context.Context, device, filesystem string) error {
	switch filesystem {
	case Ext4:
		return run(ctx, "mkfs.ext4", "-q", "-F", "-m", "0", "-i", "65536",
			"-E", "lazy_itable_init=0,lazy_journal_init=1", device)
	case XFS:
		return run(ctx, "mkfs.xfs", "-q", "-f", "-K", device)
	}
	return fmt.Errorf("%q is neither %s nor %s", filesystem, Ext4, XFS)
}

// Filesystem tells what is on a device, by its superblock.
func Filesystem(device string) (string, error) {
	f, err := os.Open(device)
	if err != nil {
		return "", err
	}
	defer f.Close()
	head := make([]byte, 2048)
	if _, err := io.ReadFull(f, head); err != nil {
		return "", err
	}
	switch {
	case string(head[:4]) == "XFSB":
		return XFS, nil
	case binary.LittleEndian.Uint16(head[1024+0x38:]) == 0xEF53:
		return Ext4, nil
	}
	return "", fmt.Errorf("%s holds no filesystem known here", device)
}

// Mount mounts a volume's device, a restored one too: a copy carries its
// original's identity, which xfs would refuse to see twice. The mount is on
// record in the room, wherever it is.
func (p *Pool) Mount(device, at string) error {
	if err := p.room.record(entry{Kind: kindMount, Path: at}); err != nil {
		return err
	}
	return mount(device, at)
}

// Unmount takes a mount away that nobody uses.
func (p *Pool) Unmount(at string) error {
	if err := unix.Unmount(at, unix.UMOUNT_NOFOLLOW); err != nil {
		return fmt.Errorf("unmounting %s: %w", at, err)
	}
	return nil
}

func mount(device, at string) error {
	filesystem, err := Filesystem(device)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(at, 0o700); err != nil {
		return err
	}
	options := ""
	if filesystem == XFS {
		options = "nouuid"
	}
	if err := unix.Mount(device, at, filesystem, unix.MS_NODEV|unix.MS_NOSUID|unix.MS_NOATIME, options); err != nil {
		return fmt.Errorf("mounting %s at %s: %w", device, at, err)
	}
	return nil
}

// Condition is the state in which a filesystem's log was caught.
type Condition struct {
	Filesystem string
	Settled    bool   // nothing to recover: it was frozen or unmounted
	Detail     string // what was seen
}

// Inspect reads the condition of a restored device that was not mounted yet.
// A filesystem leaves its log settled only when it is frozen, unmounted or long
// idle, so that a copy taken under load tells whether it was taken frozen.
func Inspect(ctx context.Context, device string) (Condition, error) {
	filesystem, err := Filesystem(device)
	if err != nil {
		return Condition{}, err
	}
	if filesystem == XFS {
		return inspectXFS(ctx, device)
	}
	f, err := os.Open(device)
	if err != nil {
		return Condition{}, err
	}
	defer f.Close()
	return inspectExt4(f)
}

// inspectExt4 reads the needs_recovery bit of feature_incompat.
func inspectExt4(device io.ReaderAt) (Condition, error) {
	var field [4]byte
	if _, err := device.ReadAt(field[:], 1024+0x60); err != nil {
		return Condition{}, err
	}
	if binary.LittleEndian.Uint32(field[:])&0x4 != 0 {
		return Condition{Ext4, false, "needs_recovery is set"}, nil
	}
	return Condition{Ext4, true, "needs_recovery is not set"}, nil
}

func inspectXFS(ctx context.Context, device string) (Condition, error) {
	out, err := exec.CommandContext(ctx, "xfs_logprint", "-t", device).Output()
	if err != nil {
		return Condition{}, fmt.Errorf("xfs_logprint: %w", err)
	}
	return settledXFS(string(out))
}

// settledXFS judges what xfs_logprint -t printed. A frozen log is not clean: it
// keeps two transactions of the superblock alone, by which a crash recovers.
func settledXFS(printed string) (Condition, error) {
	var items, supers int
	for line := range strings.Lines(printed) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch {
		case strings.HasPrefix(line, "\t"):
			if strings.HasPrefix(word, "SUPER Block Buffer") {
				supers++
			}
		case strings.HasPrefix(rest, " cnt:"):
			items++
		}
	}
	switch {
	case strings.Contains(printed, "state: <CLEAN>"):
		return Condition{XFS, true, "the log is clean"}, nil
	case !strings.Contains(printed, "state: <DIRTY>"):
		return Condition{}, errors.New("xfs_logprint did not tell the log's state")
	}
	return Condition{XFS, items > 0 && items == supers, fmt.Sprintf("the log holds %d items, %d of them superblocks", items, supers)}, nil
}

// Check examines an unmounted filesystem without changing it. Mount it once
// before, so that its log is replayed.
func Check(ctx context.Context, device string) error {
	filesystem, err := Filesystem(device)
	if err != nil {
		return err
	}
	if filesystem == XFS {
		return run(ctx, "xfs_repair", "-n", device)
	}
	return run(ctx, "e2fsck", "-f", "-n", device)
}
