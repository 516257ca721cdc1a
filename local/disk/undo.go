package disk

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const undoLimit = 10 * time.Second

// undo takes away what stands in a room and on its devices. The journal says
// where to look; the kernel says what is ours: a loop device whose file lies in
// the room, and a filesystem on such a device.
func undo(dir string, entries []entry) error {
	pool, volumes := ourLoops(dir, entries)
	if err := release(dir, entries, pool, volumes); err != nil {
		return err
	}
	for _, devices := range [][]string{volumes, pool} {
		if err := unmountAll(devices); err != nil {
			return err
		}
		for _, device := range devices {
			if err := detach(dir, device); err != nil {
				return err
			}
		}
	}
	for _, e := range entries {
		if e.Kind == kindMemory && strings.HasPrefix(e.Path, dir+"/") {
			_ = unix.Unmount(e.Path, unix.UMOUNT_NOFOLLOW) // one that stays is found below
		}
	}
	mounts, err := mounts()
	if err != nil {
		return err
	}
	for _, m := range mounts {
		if strings.HasPrefix(m.at, dir+"/") {
			return fmt.Errorf("%s is still mounted", m.at)
		}
	}
	removeMountPoints(entries)
	return os.RemoveAll(dir)
}

// ourLoops are the devices in the journal whose file is still one of the
// room's: the one under the pool, and those of volumes, whose file is in it.
func ourLoops(dir string, entries []entry) (pool, volumes []string) {
	for _, e := range entries {
		backing, attached := loopBacking(e.Path)
		switch {
		case e.Kind != kindLoop || !attached || slices.Contains(slices.Concat(pool, volumes), e.Path):
		case backing == filepath.Join(dir, poolImage):
			pool = append(pool, e.Path)
		case strings.HasPrefix(backing, dir+"/"):
			volumes = append(volumes, e.Path)
		}
	}
	return pool, volumes
}

// release kills the room's processes and thaws its filesystems, the outer
// first. A killed process may be inside a freeze that ends only now, and one
// that is blocked dies only once it is thawed: hence both until all are gone.
func release(dir string, entries []entry, pool, volumes []string) error {
	devices := slices.Concat(pool, volumes)
	processes := ourProcesses(dir, entries)
	for _, p := range processes {
		_ = unix.Kill(p.PID, unix.SIGKILL)
	}
	err := within(undoLimit, func() error {
		if err := thawAll(devices); err != nil {
			return err
		}
		for _, p := range processes {
			if p.lives() {
				return fmt.Errorf("process %d was killed and does not end", p.PID)
			}
		}
		return nil
	})
	return errors.Join(err, thawAll(devices))
}

// ourProcesses are those of the journal that still live and those that carry
// the room's mark, but never the caller.
func ourProcesses(dir string, entries []entry) []entry {
	var found []entry
	for _, e := range entries {
		if e.Kind == kindProcess && e.PID != os.Getpid() && e.lives() {
			found = append(found, e)
		}
	}
	mark := []byte(EnvRun + "=" + dir)
	carries := func(v []byte) bool {
		rest, ok := bytes.CutPrefix(v, mark)
		return ok && (len(rest) == 0 || rest[0] == '/')
	}
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err != nil || pid == os.Getpid() {
			continue
		}
		environ, err := os.ReadFile(path)
		if err != nil || !slices.ContainsFunc(bytes.Split(environ, []byte{0}), carries) {
			continue
		}
		if start, err := startTime(pid); err == nil {
			found = append(found, entry{Kind: kindProcess, PID: pid, Start: start})
		}
	}
	return found
}

func thawAll(devices []string) error {
	mounts, err := mountsOf(devices)
	if err != nil {
		return err
	}
	var failed []error
	for _, m := range mounts {
		if err := thawIfOurs(m.at, m.device); err != nil {
			failed = append(failed, fmt.Errorf("thawing %s: %w", m.at, err))
		}
	}
	return errors.Join(failed...)
}

func unmountAll(devices []string) error {
	return within(undoLimit, func() error {
		mounts, err := mountsOf(devices)
		if err != nil {
			return err
		}
		var failed []error
		for _, m := range slices.Backward(mounts) {
			if err := unix.Unmount(m.at, unix.UMOUNT_NOFOLLOW); err != nil {
				failed = append(failed, fmt.Errorf("unmounting %s: %w", m.at, err))
			}
		}
		return errors.Join(failed...)
	})
}

// detach also takes a device away whose filesystem was unmounted while it was
// frozen: such a one lives on unseen until it is mounted again and thawed.
func detach(dir, device string) error {
	if _, attached := loopBacking(device); !attached {
		return nil
	}
	err := loopDetach(device)
	if err == nil {
		return nil
	}
	at := filepath.Join(dir, "hidden")
	if mountErr := mount(device, at); mountErr != nil {
		return errors.Join(err, mountErr)
	}
	if err := errors.Join(thawAll([]string{device}), unmountAll([]string{device})); err != nil {
		return err
	}
	return loopDetach(device)
}

// removeMountPoints removes the emptied directories outside the room that
// volumes were mounted on.
func removeMountPoints(entries []entry) {
	for _, e := range entries {
		if e.Kind == kindMount {
			_ = unix.Rmdir(e.Path) // leaves what is not empty or is mounted on
		}
	}
}

// mounted is one line of the mount table.
type mounted struct {
	device string // major:minor
	at     string
}

// mountsOf are the mounts of filesystems on the devices, in the devices' order
// and then the table's.
func mountsOf(devices []string) ([]mounted, error) {
	all, err := mounts()
	if err != nil {
		return nil, err
	}
	var found []mounted
	for _, device := range devices {
		var st unix.Stat_t
		if err := unix.Stat(device, &st); err != nil {
			return nil, err
		}
		number := fmt.Sprintf("%d:%d", unix.Major(st.Rdev), unix.Minor(st.Rdev))
		for _, m := range all {
			if m.device == number {
				found = append(found, m)
			}
		}
	}
	return found, nil
}

func mounts() ([]mounted, error) {
	data, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return nil, err
	}
	var all []mounted
	for line := range strings.Lines(string(data)) {
		if fields := strings.Fields(line); len(fields) > 4 {
			all = append(all, mounted{device: fields[2], at: unescape(fields[4])})
		}
	}
	return all, nil
}

// The kernel writes blanks and backslashes of a path as octal numbers.
var unescape = strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`).Replace
