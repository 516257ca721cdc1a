//go:build linux

package recovery

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// step is one thing that a recovery did to the machine, as it is undone.
type step struct {
	Kind   string `json:"kind"`
	Path   string `json:"path"`
	Device string `json:"device,omitempty"` // of a mount
}

// Kinds of steps.
const (
	folder  = "folder"
	mounted = "mount"
	group   = "volume-group" // Path is its name
	array   = "array"        // Path is its device
	point   = "point"        // a folder over which a copy was laid, while the server ran
	room    = "room"         // of the server, removed with all that is in it
)

// journal is what outlives the process: all that is to be undone, and the reply
// once there is one. It lies in memory, as do the mounts that it is about.
type journal struct {
	path string

	RunID string          `json:"runId"`
	Steps []step          `json:"steps"`
	Reply *protocol.Reply `json:"reply,omitempty"`
}

// kept is how many journals of recoveries that are over can be replayed.
const kept = 32

func (r *Recovery) journals() string { return filepath.Join(r.Dir, "recoveries") }

// open reads a run's journal, or begins it.
func (r *Recovery) open(run string) (*journal, error) {
	if err := os.Mkdir(r.journals(), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fault.Wrap(fault.Internal, err, "making the folder of journals")
	}
	j := &journal{path: filepath.Join(r.journals(), run+".json"), RunID: run}
	raw, err := os.ReadFile(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return j, nil
	}
	if err == nil {
		err = json.Unmarshal(raw, j)
	}
	return j, fault.Wrap(fault.Internal, err, "reading the journal of %s", run)
}

func (j *journal) save() error {
	raw, err := json.Marshal(j)
	if err == nil {
		err = os.WriteFile(j.path+".new", raw, 0o600)
	}
	if err == nil {
		err = os.Rename(j.path+".new", j.path)
	}
	return fault.Wrap(fault.Internal, err, "writing the journal of %s", j.RunID)
}

func (j *journal) record(s step) error {
	if slices.Contains(j.Steps, s) {
		return nil
	}
	j.Steps = append(j.Steps, s)
	return j.save()
}

// others are the journals of other runs.
func (r *Recovery) others(run string) (list []*journal, err error) {
	files, err := filepath.Glob(filepath.Join(r.journals(), "*.json"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		name := strings.TrimSuffix(filepath.Base(f), ".json")
		if name == run {
			continue
		}
		j, err := r.open(name)
		if err != nil {
			return nil, err
		}
		list = append(list, j)
	}
	return list, nil
}

// leftovers undoes what recoveries left that died half-way, this run's own
// among them, and forgets the oldest of those that are over.
func (r *Recovery) leftovers(ctx context.Context, own *journal) error {
	all, err := r.others(own.RunID)
	if err != nil {
		return err
	}
	var over []*journal
	for _, j := range append(all, own) {
		if j.Reply == nil && len(j.Steps) > 0 {
			if err := r.undo(ctx, j, nil); err != nil {
				return err
			}
		}
		if len(j.Steps) == 0 && j != own {
			over = append(over, j)
		}
	}
	slices.SortFunc(over, func(a, b *journal) int { return written(b.path).Compare(written(a.path)) })
	for _, j := range over[min(kept, len(over)):] {
		os.Remove(j.path)
	}
	return nil
}

func written(path string) time.Time {
	fi, err := os.Stat(path)
	if err != nil {
		return time.Time{}
	}
	return fi.ModTime()
}

// undo takes steps back in reverse, those alone that only selects where it is
// given. A step that cannot be taken back stays on record and keeps those under
// it from being tried: what it stands on is in use.
func (r *Recovery) undo(ctx context.Context, j *journal, only func(step) bool) error {
	var left []step
	var failed error
	for _, s := range slices.Backward(j.Steps) {
		if failed != nil || only != nil && !only(s) {
			left = append(left, s)
			continue
		}
		if err := r.takeBack(ctx, s); err != nil {
			failed, left = err, append(left, s)
		}
	}
	slices.Reverse(left)
	j.Steps = left
	return errors.Join(failed, j.save())
}

func (r *Recovery) takeBack(ctx context.Context, s step) error {
	switch s.Kind {
	case mounted:
		list, err := mounts.ReadList("/", "thread-self")
		if err != nil {
			return fault.Wrap(fault.Internal, err, "reading what is mounted")
		}
		if top, found := list.At(s.Path); !found || top.Source != s.Device {
			return nil
		}
		return r.unmount(ctx, s.Path)
	case folder, point:
		if err := os.Remove(s.Path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, unix.ENOTEMPTY) && !errors.Is(err, unix.EBUSY) {
			return fault.Wrap(fault.Internal, err, "removing %s", s.Path)
		}
		return nil
	case room:
		return fault.Wrap(fault.Internal, os.RemoveAll(s.Path), "removing the server's room")
	case group:
		return r.deactivate(ctx, s.Path)
	case array:
		return r.disassemble(ctx, s.Path)
	}
	return fault.New(fault.Internal, "the journal has a step %q, which nobody here can take back", s.Kind)
}

// unmount takes a mount away. One in use is waited for a little: who has just
// ended may hold it for a moment more.
func (r *Recovery) unmount(ctx context.Context, at string) error {
	limit := time.Now().Add(r.Patience)
	for pause := 5 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := unix.Unmount(at, unix.UMOUNT_NOFOLLOW)
		if err == nil {
			return nil
		}
		if err != unix.EBUSY || time.Now().Add(pause).After(limit) {
			return fault.Wrap(fault.VolumeBusy, err, "unmounting %s", at)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return fault.Wrap(fault.VolumeBusy, err, "unmounting %s", at)
		}
	}
}
