package disk

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// DefaultParent is where rooms are made: every directory above is root's own
// and writable by root alone, so that scripts kept in a room are safe to run.
const DefaultParent = "/var/lib/quiesce/local"

// EnvRun names the room, or a folder in it, to every process that a run
// starts; by it those are found that were never entered in the journal.
const EnvRun = "QUIESCE_RUN_DIR"

const (
	roomPrefix  = "room-"
	journalName = "journal"
)

// Room is a private directory with a journal of everything that was made in
// it, so that a later run can take away what a dead one left behind.
type Room struct {
	dir string

	mu      sync.Mutex
	journal *os.File // locked as long as the owner lives
	entries []entry
}

// entry is one line of the journal, written before the thing is made. A thing
// that is not there when it is looked for was never made or is gone.
type entry struct {
	Kind   string `json:"kind"`
	Path   string `json:"path,omitempty"`   // the loop device, the mount point
	PID    int    `json:"pid,omitempty"`    // the owner or a process of its
	Start  uint64 `json:"start,omitempty"`  // when the process started, in ticks since boot
	BootID string `json:"bootId,omitempty"` // of the owner
}

const (
	kindOwner   = "owner"
	kindLoop    = "loop"
	kindMount   = "mount"
	kindMemory  = "memory"
	kindProcess = "process"
)

// NewRoom makes a room under parent, DefaultParent if that is empty.
func NewRoom(parent string) (*Room, error) {
	if parent == "" {
		parent = DefaultParent
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return nil, err
	}
	parent, err := filepath.EvalSymlinks(parent)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(parent, roomPrefix)
	if err != nil {
		return nil, err
	}
	r := &Room{dir: dir}
	if err := r.open(); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	return r, nil
}

func (r *Room) open() error {
	journal, err := os.OpenFile(filepath.Join(r.dir, journalName), os.O_CREATE|os.O_EXCL|os.O_RDWR|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	r.journal = journal
	// One who sweeps may hold it for a moment, to find that it is empty.
	if err := unix.Flock(int(journal.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	boot, err := bootID()
	if err != nil {
		return err
	}
	start, err := startTime(os.Getpid())
	if err != nil {
		return err
	}
	return r.record(entry{Kind: kindOwner, PID: os.Getpid(), Start: start, BootID: boot})
}

// Dir is the room's directory.
func (r *Room) Dir() string { return r.dir }

// Memory makes a folder of the room that is in memory, as /run is: what keeps
// its state there does not write to any disk.
func (r *Room) Memory(name string) (string, error) {
	at := filepath.Join(r.dir, name)
	if err := r.record(entry{Kind: kindMemory, Path: at}); err != nil {
		return "", err
	}
	if err := os.Mkdir(at, 0o700); err != nil {
		return "", err
	}
	return at, unix.Mount("tmpfs", at, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700,size=16m")
}

// Mark is the environment entry that every process started for the room
// should carry.
func (r *Room) Mark() string { return EnvRun + "=" + r.dir }

// Own enters a running process in the journal: it is killed when the room is
// closed or swept.
func (r *Room) Own(pid int) error {
	start, err := startTime(pid)
	if err != nil {
		return err
	}
	return r.record(entry{Kind: kindProcess, PID: pid, Start: start})
}

func (r *Room) record(e entry) error {
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.journal == nil {
		return fmt.Errorf("the room %s is closed", r.dir)
	}
	if _, err := r.journal.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("journal: %w", err)
	}
	r.entries = append(r.entries, e)
	return nil
}

// Close takes away all that was made in the room, whatever state it is in,
// and the room itself. What could not be taken away stays on record and is
// left to a later Close or Sweep.
func (r *Room) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.journal == nil {
		return nil
	}
	if err := undo(r.dir, r.entries); err != nil {
		return err
	}
	err := r.journal.Close()
	r.journal = nil
	return err
}

func readJournal(f *os.File) ([]entry, error) {
	var entries []entry
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var e entry
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			break // the line that a crash cut off: its thing was not made
		}
		entries = append(entries, e)
	}
	if len(entries) == 0 || entries[0].Kind != kindOwner {
		return nil, fmt.Errorf("%s names no owner", f.Name())
	}
	return entries, lines.Err()
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(data)), err
}

// startTime is when a process started; with the pid it names a process for
// good, because pids come round again.
func startTime(pid int) (uint64, error) {
	fields, err := statFields(pid)
	if err != nil {
		return 0, err
	}
	return strconv.ParseUint(fields[19], 10, 64)
}

// statFields are those of /proc/PID/stat from the state on, which is the first
// after the command's name in parentheses.
func statFields(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:]))
	if len(fields) < 20 {
		return nil, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	return fields, nil
}

// lives tells whether the very process is there and not merely its zombie.
func (e entry) lives() bool {
	fields, err := statFields(e.PID)
	return err == nil && fields[19] == strconv.FormatUint(e.Start, 10) && fields[0] != "Z" && fields[0] != "X"
}
