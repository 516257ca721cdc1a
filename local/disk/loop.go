package disk

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// loopAttach makes bytes of the file from offset on a block device. The device
// is named in the journal before it is made, because a crash between the two
// would leave a device that nobody knows.
func (r *Room) loopAttach(file string, offset, bytes int64, label string) (string, error) {
	control, err := os.OpenFile("/dev/loop-control", os.O_RDWR, 0)
	if err != nil {
		return "", fmt.Errorf("no loop devices here: %w", err)
	}
	defer control.Close()
	backing, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return "", err
	}
	defer backing.Close()
	for range 64 {
		n, err := unix.IoctlRetInt(int(control.Fd()), unix.LOOP_CTL_GET_FREE)
		if err != nil {
			return "", fmt.Errorf("asking for a free loop device: %w", err)
		}
		device := fmt.Sprintf("/dev/loop%d", n)
		if err := r.record(entry{Kind: kindLoop, Path: device}); err != nil {
			return "", err
		}
		err = loopConfigure(device, backing, offset, bytes, label)
		if errors.Is(err, unix.EBUSY) {
			continue // somebody else was given the same number
		}
		if err != nil {
			return "", fmt.Errorf("attaching %s: %w", device, err)
		}
		return device, nil
	}
	return "", errors.New("no loop device could be had in 64 attempts")
}

// sector is the logical block of every device. A file that shares blocks takes
// direct I/O in whole blocks only, and a filesystem made for smaller sectors
// could not be mounted from a copy of it.
const sector = 4096

func loopConfigure(device string, backing *os.File, offset, bytes int64, label string) error {
	dev, err := os.OpenFile(device, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer dev.Close()
	config := unix.LoopConfig{Fd: uint32(backing.Fd()), Size: sector, Info: unix.LoopInfo64{
		Offset:    uint64(offset),
		Sizelimit: uint64(bytes),
		Flags:     unix.LO_FLAGS_DIRECT_IO,
	}}
	copy(config.Info.File_name[:unix.LO_NAME_SIZE-1], label)
	err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
	if errors.Is(err, unix.EINVAL) { // a backing filesystem without direct I/O
		config.Info.Flags = 0
		err = unix.IoctlLoopConfigure(int(dev.Fd()), &config)
	}
	return err
}

// loopDetach takes the device from its file. It refuses one that is mounted, at
// once, and one that another exclusive holder does not leave: of a namespace the
// kernel lets go of the mounts a moment after its last process.
func loopDetach(device string) error {
	limit := 5 * time.Second
	if here, err := mountsOf([]string{device}); err == nil && len(here) > 0 {
		limit = 0
	}
	var dev *os.File
	err := within(limit, func() (err error) {
		dev, err = os.OpenFile(device, os.O_RDWR|unix.O_EXCL, 0)
		return err
	})
	if err != nil {
		return fmt.Errorf("%s is in use: %w", device, err)
	}
	err = unix.IoctlSetInt(int(dev.Fd()), unix.LOOP_CLR_FD, 0)
	dev.Close()
	if err != nil && !errors.Is(err, unix.ENXIO) {
		return fmt.Errorf("detaching %s: %w", device, err)
	}
	// The kernel takes it apart at the last close, which may be another's.
	return within(5*time.Second, func() error {
		if _, attached := loopBacking(device); attached {
			return fmt.Errorf("%s is still held open", device)
		}
		return nil
	})
}

// loopBacking tells which file is under a loop device.
func loopBacking(device string) (string, bool) {
	data, err := os.ReadFile(filepath.Join("/sys/block", filepath.Base(device), "loop/backing_file"))
	if err != nil {
		return "", false
	}
	return strings.TrimSuffix(strings.TrimSpace(string(data)), " (deleted)"), true
}

// within repeats do until it succeeds or the time is over, for what the kernel
// finishes a moment after it was asked.
func within(limit time.Duration, do func() error) error {
	for wait, end := time.Millisecond, time.Now().Add(limit); ; wait = min(2*wait, 50*time.Millisecond) {
		err := do()
		if err == nil || time.Now().After(end) {
			return err
		}
		time.Sleep(wait)
	}
}
