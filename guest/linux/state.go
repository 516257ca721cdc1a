//go:build linux

package linux

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
)

// keptRuns is how many old runs can still be replayed.
const keptRuns = 32

// State is the helper's own folder: records, script output, guards' marks, a
// lock and a socket. It is root's alone and never on a frozen filesystem.
type State struct{ Dir string }

// OpenState makes the folder if need be and refuses one that is not ours.
func OpenState(dir string) (State, error) {
	if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir {
		return State{}, fault.Input("QUIESCE_RUN_DIR", "must be an absolute, clean path")
	}
	for _, d := range []string{dir, filepath.Join(dir, "runs"), filepath.Join(dir, "guards"), filepath.Join(dir, "logs")} {
		if err := os.Mkdir(d, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
			return State{}, fault.Wrap(fault.Internal, err, "making the state folder")
		}
		fi, err := os.Lstat(d)
		if err != nil {
			return State{}, fault.Wrap(fault.Internal, err, "looking at the state folder")
		}
		st := fi.Sys().(*unixStat)
		if !fi.IsDir() || int(st.Uid) != os.Geteuid() || fi.Mode().Perm()&0o077 != 0 {
			return State{}, fault.New(fault.Internal, "%s is not a folder of our own with mode 0700", d)
		}
	}
	return State{dir}, nil
}

// Own reports whether a file is of the account that this process has.
func Own(fi fs.FileInfo) bool {
	st, ok := fi.Sys().(*unixStat)
	return ok && int(st.Uid) == os.Geteuid()
}

// The locks of a state folder.
const (
	Opening = "lock" // held while a session is opened or recovered
	Living  = "live" // held by the daemon while its session is open
)

// Lock takes a lock. It is given up by the returned func, or by the process's
// death.
func (s State) Lock(name string, wait time.Duration) (func(), error) {
	f, err := os.OpenFile(filepath.Join(s.Dir, name), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "opening the lock")
	}
	for end := time.Now().Add(wait); ; time.Sleep(20 * time.Millisecond) {
		err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(end) {
			f.Close()
			return nil, fault.Wrap(fault.Unavailable, err, "the %s is held by another process", name)
		}
	}
}

// Save replaces a run's record. Nothing is synced: a record does not have to
// outlive the boot that its freeze does not outlive.
func (s State) Save(r session.Record) error {
	raw, err := json.Marshal(r)
	if err != nil {
		return err
	}
	path := filepath.Join(s.Dir, "runs", r.RunID+".json")
	if err := os.WriteFile(path+".new", raw, 0o600); err != nil {
		return err
	}
	if err := os.Rename(path+".new", path); err != nil {
		return err
	}
	if r.Released() {
		s.prune()
	}
	return nil
}

// Records returns the saved runs, newest first.
func (s State) Records() ([]session.Record, error) {
	files, err := os.ReadDir(filepath.Join(s.Dir, "runs"))
	if err != nil {
		return nil, err
	}
	var out []session.Record
	for _, f := range files {
		if !strings.HasSuffix(f.Name(), ".json") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(s.Dir, "runs", f.Name()))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		var r session.Record
		if err := json.Unmarshal(raw, &r); err != nil {
			return nil, err
		}
		out = append(out, r)
	}
	slices.SortFunc(out, func(a, b session.Record) int { return b.OpenedAt.Wall.Compare(a.OpenedAt.Wall) })
	return out, nil
}

// prune forgets the oldest runs that are over, with their output.
func (s State) prune() {
	records, err := s.Records()
	if err != nil {
		return
	}
	for i, r := range records {
		if i < keptRuns || !r.Released() {
			continue
		}
		os.Remove(filepath.Join(s.Dir, "runs", r.RunID+".json"))
		for _, stage := range []string{"pre", "post"} {
			os.Remove(s.output(r.RunID, stage))
		}
	}
}

func (s State) output(run, stage string) string {
	return filepath.Join(s.Dir, "logs", run+"."+stage+".log")
}

func (s State) mark(run, device string) string {
	return filepath.Join(s.Dir, "guards", run+"."+strings.ReplaceAll(device, ":", "-"))
}
