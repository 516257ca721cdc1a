//go:build linux

package linux

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/discover"
	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/guest/script"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

type unixStat = syscall.Stat_t

func lines(r io.Reader) *bufio.Scanner { return bufio.NewScanner(r) }

var _ session.Host = (*Host)(nil)

// Host is this machine.
type Host struct {
	State
	Scripts script.Rules
	Exe     string // the helper's own file, whose filesystem is not frozen either

	Applications map[string]application.New // what can be quiesced besides scripts, by kind
}

// agents are the clouds' agents, who could not take the thaw's command if they
// could not write here.
var agents = map[string]string{
	"/var/lib/amazon/ssm":            "the SSM agent's state",
	"/var/log/amazon/ssm":            "the SSM agent's log",
	"/usr/local/share/aliyun-assist": "the Cloud Assistant's state",
}

// Stamp reads both clocks.
func (h *Host) Stamp() protocol.Stamp { return stamp() }

// BootID is the kernel's name for this boot.
func (h *Host) BootID() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(raw))
}

// RunScript runs one script, its output kept in the state folder.
func (h *Host) RunScript(ctx context.Context, s session.Script) (protocol.ScriptResult, error) {
	return h.Scripts.Run(ctx, script.Call{
		Path: s.Path, RunID: s.Run, Stage: s.Stage, Timeout: s.Timeout, Output: h.output(s.Run, s.Stage),
	})
}

// Application makes the adapter of a kind in the table.
func (h *Host) Application(app protocol.Application, journal application.Journal) (application.Adapter, error) {
	return application.Make(h.Applications, app, journal)
}

func (h *Host) table(allowRoot bool) (*mounts.Table, error) {
	t, err := mounts.Read("/")
	if err != nil {
		return nil, fault.Wrap(fault.Internal, err, "reading what is mounted")
	}
	r := mounts.Rules{AllowRoot: allowRoot, Keep: []string{h.Dir}, Why: map[string]string{h.Dir: "the helper's state"}}
	for p, why := range agents {
		if _, err := os.Lstat(p); err == nil {
			r.Keep, r.Why[p] = append(r.Keep, p), why
		}
	}
	if !allowRoot && h.Exe != "" {
		r.Keep, r.Why[h.Exe] = append(r.Keep, h.Exe), "the helper itself"
	}
	t.Refuse(r)
	for i := range t.Mounts {
		if m := &t.Mounts[i]; m.Refused == "" && protocol.CheckPath("mount", m.Mount.Mount) != nil {
			m.Refused = "its path has characters that a request may not have"
		}
	}
	return t, nil
}

// mostFound is how many servers are told of: a reply has to fit a command's
// output.
const mostFound = 24

// Survey looks at the machine.
func (h *Host) Survey(ctx context.Context, req protocol.DryRunRequest) (protocol.DryRunReply, error) {
	seen := protocol.DryRunReply{BootID: h.BootID(), Mounts: []protocol.Mount{}}
	seen.Hostname, _ = os.Hostname()
	seen.Kernel = kernel()
	t, err := h.table(req.AllowRoot)
	if err != nil {
		return seen, err
	}
	if k, ok := kind(h.Dir); ok && !k {
		seen.Warnings = append(seen.Warnings, "the state folder "+h.Dir+" is not in memory")
	}
	for _, m := range t.Mounts {
		seen.Mounts = append(seen.Mounts, m.Mount)
	}
	if w := uringHazard(seen.Kernel); w != "" {
		seen.Warnings = append(seen.Warnings, w)
	}
	if req.Discover {
		found, err := discover.Read("/")
		if err != nil {
			return seen, fault.Wrap(fault.Internal, err, "looking for servers")
		}
		told := min(len(found), mostFound)
		seen.Found, seen.Untold = found[:told], len(found)-told
	}
	for i, s := range req.Scripts {
		if err := h.Scripts.Check(s); err != nil {
			return seen, &fault.Error{Code: fault.ScriptUnsafe, Field: fmt.Sprintf("scripts[%d]", i), Message: err.Error()}
		}
	}
	return seen, nil
}

// Open opens and verifies the filesystems, and starts a guard and a witness
// for each, idle.
func (h *Host) Open(ctx context.Context, run string, want []protocol.Filesystem, allowRoot bool) ([]session.Volume, error) {
	t, err := h.table(allowRoot)
	if err != nil {
		return nil, err
	}
	var out []session.Volume
	fail := func(err error) ([]session.Volume, error) {
		for _, v := range out {
			v.Close()
		}
		return nil, err
	}
	for _, w := range want {
		v, err := h.open(t, run, w)
		if err != nil {
			return fail(err)
		}
		out = append(out, v)
	}
	return out, nil
}

func (h *Host) open(t *mounts.Table, run string, w protocol.Filesystem) (session.Volume, error) {
	refuse := func(why string, args ...any) error {
		return &fault.Error{Code: fault.FreezeRefused, Field: w.Mount, Message: fmt.Sprintf(why, args...)}
	}
	m := t.ByDevice(w.Device)
	if m == nil {
		return nil, refuse("no filesystem with device %s is mounted", w.Device)
	}
	if m.Refused != "" {
		return nil, refuse("%s", m.Refused)
	}
	dir, err := openVerified(t, w)
	if err != nil {
		return nil, refuse("%s", err)
	}
	v := &volume{
		about:   session.About{Mount: w.Mount, Device: w.Device, Type: m.Type, ReadOnly: m.ReadOnly, Depth: m.Depth},
		dir:     dir,
		written: func() int64 { return written(m.Devices) },
		mark:    h.mark(run, w.Device),
	}
	if m.ReadOnly {
		return &readOnly{v}, nil
	}
	mark, err := os.OpenFile(v.mark, os.O_RDWR|os.O_CREATE|os.O_TRUNC|unix.O_NOFOLLOW, 0o600)
	if err == nil {
		err = v.start(mark)
		mark.Close()
	}
	if err != nil {
		dir.Close()
		return nil, fault.Wrap(fault.Internal, err, "readying %s", w.Mount)
	}
	return v, nil
}

// openVerified opens a mount point and makes sure that what was opened is the
// superblock that was named: between resolving and freezing it may have been
// unmounted, and its path then names the filesystem below.
func openVerified(t *mounts.Table, w protocol.Filesystem) (*os.File, error) {
	fd, err := unix.Open(w.Mount, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("opening it: %w", err)
	}
	f := os.NewFile(uintptr(fd), w.Mount)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("looking at it: %w", err)
	}
	found := fmt.Sprintf("%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev))
	if found != w.Device {
		// Each subvolume of a btrfs has a number of its own; the mount's id
		// leads to the superblock's.
		found = t.DeviceOf(mountID(fd))
	}
	if found != w.Device {
		f.Close()
		return nil, fmt.Errorf("it is device %s now, not %s", found, w.Device)
	}
	return f, nil
}

func mountID(fd int) int {
	raw, _ := os.ReadFile(fmt.Sprintf("/proc/self/fdinfo/%d", fd))
	for line := range strings.Lines(string(raw)) {
		if id, ok := strings.CutPrefix(line, "mnt_id:"); ok {
			return int(atoi(strings.TrimSpace(id)))
		}
	}
	return -1
}

// written is what the devices have taken since the boot, in bytes.
func written(devices []string) int64 {
	var sum int64
	for _, d := range devices {
		raw, err := os.ReadFile("/sys/dev/block/" + d + "/stat")
		if err != nil {
			continue
		}
		if f := strings.Fields(string(raw)); len(f) > 6 {
			sum += atoi(f[6]) * 512
		}
	}
	return sum
}

// readOnly is a filesystem with nothing to hold.
type readOnly struct{ *volume }

func (r *readOnly) Close() { r.dir.Close() }

// Rescue thaws what a dead process froze. Guards come first: they do so by
// themselves when that process dies, and say so in their mark.
func (h *Host) Rescue(ctx context.Context, run string, w protocol.Filesystem) (session.Thawed, error) {
	mark := h.mark(run, w.Device)
	patience := time.Now().Add(2 * time.Second)
	for {
		f := readMark(mark)
		if len(f) == 5 && f[0] == "thawed" && f[1] != "error" {
			t := thawedLine(f)
			os.Remove(mark)
			return t, nil
		}
		if !guarded(f) || time.Now().After(patience) || ctx.Err() != nil {
			break
		}
		time.Sleep(freezePoll)
	}
	t, err := mounts.Read("/")
	if err != nil {
		return session.Thawed{}, err
	}
	dir, err := openVerified(t, w)
	if err != nil {
		return session.Thawed{}, err
	}
	type result struct {
		t   session.Thawed
		err error
	}
	done := make(chan result, 1)
	go func() {
		// A guard that lives knows better whether a freeze is still under way.
		t, err := thawPast(ctx, int(dir.Fd()), func() bool { return !guarded(readMark(mark)) })
		dir.Close()
		done <- result{t, err}
	}()
	select {
	case r := <-done:
		if r.err == nil {
			os.Remove(mark)
		}
		return r.t, r.err
	case <-ctx.Done():
		return session.Thawed{}, errors.New("the thaw has not returned")
	}
}

// guarded reports whether the guard that armed under this mark still lives.
func guarded(f []string) bool {
	return len(f) == 3 && f[0] == "armed" && f[2] != "" && startTime(f[1]) == f[2]
}

func readMark(path string) []string {
	raw, _ := os.ReadFile(path)
	return strings.Fields(string(raw))
}

// kind reports whether a folder is in memory.
func kind(dir string) (memory, known bool) {
	var st unix.Statfs_t
	if unix.Statfs(dir, &st) != nil {
		return false, false
	}
	return st.Type == unix.TMPFS_MAGIC || st.Type == unix.RAMFS_MAGIC, true
}

func kernel() string {
	raw, _ := os.ReadFile("/proc/sys/kernel/osrelease")
	return strings.TrimSpace(string(raw))
}

// uringHazard warns of the kernels in which a freeze and direct writes through
// io_uring can lock each other up so that not even a thaw helps.
func uringHazard(release string) string {
	var major, minor int
	if n, _ := fmt.Sscanf(release, "%d.%d", &major, &minor); n != 2 || major > 6 || major == 6 && minor > 12 {
		return ""
	}
	users := map[string]bool{}
	links, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range links {
		if to, err := os.Readlink(l); err == nil && strings.Contains(to, "[io_uring]") {
			name, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(l)), "comm"))
			users[strings.TrimSpace(string(name))] = true
		}
	}
	if len(users) == 0 {
		return ""
	}
	var names []string
	for n := range users {
		names = append(names, n)
	}
	return "kernel " + release + " may lock up when a filesystem is frozen under direct writes through io_uring, used by: " + strings.Join(names, ", ")
}
