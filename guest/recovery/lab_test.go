//go:build linux

package recovery

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/guest/script"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// lab is a machine with disks on loop devices, and a helper's state in memory.
type lab struct {
	*Recovery
	t    *testing.T
	dir  string
	pool string // where the disks lie
	n    int
}

func newLab(t *testing.T) *lab {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("SKIP needs root and loop devices: not root")
	}
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		t.Skip("SKIP needs root and loop devices: no /dev/loop-control")
	}
	if _, err := exec.LookPath("blkid"); err != nil {
		t.Skip("SKIP needs blkid")
	}
	memory, err := os.MkdirTemp("/dev/shm", "quiesce-test-")
	if err != nil {
		t.Skip("SKIP needs /dev/shm: " + err.Error())
	}
	must(t, os.Chmod(memory, 0o711)) // a server has a room in it
	dir, err := os.MkdirTemp("", "rec")
	must(t, err)
	must(t, os.Chmod(dir, 0o755))
	t.Cleanup(func() {
		os.RemoveAll(memory)
		os.RemoveAll(dir)
	})
	state, err := linux.OpenState(filepath.Join(memory, "state"))
	must(t, err)
	l := &lab{t: t, dir: dir, Recovery: &Recovery{State: state, Patience: 5 * time.Second, Scripts: script.Rules{Base: dir}}}
	l.defaults()
	l.pool = dir
	if _, err := exec.LookPath("mkfs.xfs"); err == nil {
		l.openPool(filepath.Join(memory, "pool.img"))
	}
	return l
}

// openPool makes the disks lie in memory, on a filesystem whose files share blocks:
// a copy of one is made at once.
func (l *lab) openPool(image string) {
	l.t.Helper()
	f, err := os.Create(image)
	must(l.t, err)
	must(l.t, f.Truncate(8<<30))
	must(l.t, f.Close())
	sh(l.t, "mkfs.xfs", "-q", "-m", "reflink=1", image)
	l.pool = filepath.Join(l.dir, "pool")
	must(l.t, os.Mkdir(l.pool, 0o755))
	l.mountAt(l.attach(image), l.pool)
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func sh(t testing.TB, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// attach makes a block device of a file, for as long as the test runs.
func (l *lab) attach(file string) string {
	l.t.Helper()
	loop := sh(l.t, "losetup", "-P", "-f", "--show", file)
	l.t.Cleanup(func() {
		// The kernel lets go of a mount's namespace a moment after its thread.
		for end := time.Now().Add(10 * time.Second); exec.Command("losetup", "-d", loop).Run() != nil && time.Now().Before(end); {
			time.Sleep(10 * time.Millisecond)
		}
	})
	return loop
}

func (l *lab) file(size int64) string {
	l.t.Helper()
	l.n++
	path := filepath.Join(l.pool, fmt.Sprintf("disk%d.img", l.n))
	f, err := os.Create(path)
	must(l.t, err)
	must(l.t, f.Truncate(size))
	must(l.t, f.Close())
	return path
}

// partition cuts a disk, sizes in MiB, in the kernel's own view of it: there
// need not be a reader of tables in that.
func (l *lab) partition(device string, sizes ...int) {
	l.t.Helper()
	for i, at := 0, 1; i < len(sizes); i++ {
		sh(l.t, "addpart", device, fmt.Sprint(i+1), fmt.Sprint(at*2048), fmt.Sprint(sizes[i]*2048))
		at += sizes[i]
	}
}

// original makes a filesystem on a disk of its own and mounts it at a name in
// the lab's folder.
func (l *lab) original(kind, name string, size int64) (file, mount string) {
	l.t.Helper()
	if _, err := exec.LookPath("mkfs." + kind); err != nil {
		l.t.Skip("SKIP needs mkfs." + kind)
	}
	file = l.file(size)
	sh(l.t, "mkfs."+kind, "-q", file)
	mount = filepath.Join(l.dir, name)
	must(l.t, os.MkdirAll(mount, 0o755))
	l.mountAt(l.attach(file), mount)
	return file, mount
}

func (l *lab) mountAt(device, at string) {
	l.t.Helper()
	sh(l.t, "mount", device, at)
	l.t.Cleanup(func() {
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
			out, err := exec.Command("umount", at).CombinedOutput()
			if err == nil {
				return
			}
			if time.Now().After(end) {
				l.t.Errorf("unmounting: %s", out)
				return
			}
		}
	})
}

// copy is what a snapshot of the disk would be: its bytes at this moment, with
// all that was synced and whatever is in the journal.
func (l *lab) copy(file string) string {
	l.t.Helper()
	l.n++
	to := filepath.Join(l.pool, fmt.Sprintf("copy%d.img", l.n))
	sh(l.t, "cp", "--reflink=auto", "--sparse=auto", file, to)
	return to
}

func (l *lab) restored(file, origin string, places ...protocol.Place) protocol.RestoredDisk {
	l.t.Helper()
	return protocol.RestoredDisk{ID: "vol-new" + origin, Origin: origin, Device: l.attach(file), Places: places}
}

func (l *lab) ask(verb protocol.Verb, q *protocol.RecoverRequest, want fault.Code) protocol.Reply {
	l.t.Helper()
	defer unix.Umask(unix.Umask(0o077)) // the shell's that starts the helper
	reply := l.Handle(l.t.Context(), protocol.Request{Version: protocol.Version, Verb: verb, RunID: "restore-1", Recover: q})
	if got := fault.CodeOf(reply.Error.Err()); got != want {
		l.t.Fatalf("%s: got %q (%+v), want %q", verb, got, reply.Error, want)
	}
	return reply
}

func (l *lab) request(disks ...protocol.RestoredDisk) *protocol.RecoverRequest {
	return &protocol.RecoverRequest{Disks: disks, At: filepath.Join(l.dir, "at"), Application: protocol.Application{Kind: "none"}, TimeoutSeconds: 120}
}

// untouched is the machine's mounts and the folder for the copies, before and
// after.
func (l *lab) untouched() func() {
	l.t.Helper()
	before := l.mounts()
	return func() {
		l.t.Helper()
		if after := l.mounts(); after != before {
			l.t.Errorf("mounts:\n%s\nwere\n%s", after, before)
		}
		if _, err := os.Stat(filepath.Join(l.dir, "at")); err == nil {
			l.t.Error("the folder for the copies was left")
		}
		if rooms, _ := filepath.Glob(l.Dir + ".recovery/*"); len(rooms) > 0 {
			l.t.Errorf("left %v", rooms)
		}
	}
}

func (l *lab) mounts() string {
	l.t.Helper()
	list, err := mounts.ReadList("/", "self")
	must(l.t, err)
	var text []string
	for _, p := range list {
		if strings.HasPrefix(p.Path, l.dir) {
			text = append(text, p.Path+" "+p.Device)
		}
	}
	return strings.Join(text, "\n")
}

func write(t *testing.T, path, text string) {
	t.Helper()
	f, err := os.Create(path)
	must(t, err)
	_, err = f.WriteString(text)
	must(t, err)
	must(t, f.Sync())
	must(t, f.Close())
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	must(t, err)
	return string(text)
}

// sync writes out what a filesystem holds, as the presync of a run does.
func sync(t *testing.T, at string) {
	t.Helper()
	fd, err := unix.Open(at, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	must(t, err)
	defer unix.Close(fd)
	must(t, unix.Syncfs(fd))
}
