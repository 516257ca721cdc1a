//go:build linux

package recovery

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// A copy is mounted beside its original, which is mounted and goes on.
func TestRealBesideTheOriginal(t *testing.T) {
	for kind, how := range map[string]string{"ext4": "mounted by its device", "xfs": "nouuid", "btrfs": "another fsid"} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t)
			file, mount := l.original(kind, "data", 320<<20)
			write(t, mount+"/kept", "as it was")
			sync(t, mount)
			copied := l.copy(file)
			write(t, mount+"/kept", "as it is now")
			q := l.request(l.restored(copied, "vol-a", protocol.Place{Type: kind, Path: "/data"}))
			same := l.untouched()

			reply := l.ask(protocol.Recover, q, "").Recover
			if len(reply.Problems) > 0 || len(reply.Filesystems) != 1 {
				t.Fatalf("got %+v", reply)
			}
			f := reply.Filesystems[0]
			if !strings.Contains(f.How, how) || !strings.HasSuffix(f.Checked, "whole") || f.Was != "/data" || f.Type != kind || f.UUID == "" {
				t.Errorf("got %+v", f)
			}
			same()
			if again := l.ask(protocol.Recover, q, ""); !again.Replayed {
				t.Error("it was done twice")
			}
			l.ask(protocol.Unmount, nil, "") // forgets it

			q.Keep = true
			l.ask(protocol.Recover, q, "")
			if got := read(t, q.At+"/data/kept"); got != "as it was" {
				t.Errorf("the copy holds %q", got)
			}
			if got := read(t, mount+"/kept"); got != "as it is now" {
				t.Errorf("the original holds %q", got)
			}
			write(t, q.At+"/data/new", "on the copy")
			sync(t, q.At+"/data")
			if _, err := os.Stat(mount + "/new"); err == nil {
				t.Error("a write to the copy reached the original")
			}
			l.ask(protocol.Unmount, nil, "")
			same()
			l.ask(protocol.Unmount, nil, "") // again, of nothing
		})
	}
}

// A btrfs with a log that nobody has replayed is not given another fsid, which
// would lose the log, and is not mounted beside its original.
func TestRealBtrfsWithALog(t *testing.T) {
	l := newLab(t)
	file, mount := l.original("btrfs", "data", 320<<20)
	sync(t, mount)
	write(t, mount+"/late", "fsynced")
	q := l.request(l.restored(l.copy(file), "vol-a", protocol.Place{Type: "btrfs", Path: "/data"}))
	same := l.untouched()
	reply := l.ask(protocol.Recover, q, "").Recover
	if got := strings.Join(reply.Problems, "\n"); !strings.Contains(got, "log that no mount has replayed") || reply.Filesystems[0].Mount != "" {
		t.Errorf("got %q, %+v", got, reply.Filesystems)
	}
	same()
}

// Disks with several filesystems, and with what is none, mounted where asked.
func TestRealPlaces(t *testing.T) {
	l := newLab(t)
	parted, plain, odd := l.file(600<<20), l.file(100<<20), l.file(50<<20)
	first := l.restored(parted, "vol-a", protocol.Place{Part: "2", Type: "xfs", Path: "/srv/db"}, protocol.Place{Part: "1", Type: "ext4", Path: "/srv"})
	loop := first.Device
	l.partition(loop, 100, 400, 40)
	sh(t, "mkfs.ext4", "-q", loop+"p1")
	sh(t, "mkfs.xfs", "-q", "-f", loop+"p2")
	sh(t, "mkswap", "-q", loop+"p3")
	sh(t, "mkfs.ext4", "-q", "-M", "/srv/last", plain)
	q := l.request(
		first, l.restored(plain, "vol-b"), l.restored(odd, "vol-c"))
	q.Keep, q.Mounts = true, map[string]string{"/srv/db": l.dir + "/asked/for", "vol-b": l.dir + "/plain"}
	same := l.untouched()
	reply := l.ask(protocol.Recover, q, "").Recover
	var got []string
	for _, f := range reply.Filesystems {
		got = append(got, strings.TrimPrefix(strings.Join([]string{f.Origin, f.Type, f.Was, f.Mount}, " "), ""))
	}
	want := []string{"vol-a ext4 /srv " + q.At + "/srv", "vol-a xfs /srv/db " + l.dir + "/asked/for", "vol-a swap  ", "vol-b ext4 /srv/last " + l.dir + "/plain", "vol-c   "}
	if strings.Join(got, "\n") != strings.Join(want, "\n") || len(reply.Problems) > 0 {
		t.Errorf("got\n%s\nwant\n%s\nand %v", strings.Join(got, "\n"), strings.Join(want, "\n"), reply.Problems)
	}
	l.ask(protocol.Unmount, nil, "")
	same()
	for _, folder := range []string{"/asked", "/plain"} {
		if _, err := os.Stat(l.dir + folder); err == nil {
			t.Errorf("%s was left", folder)
		}
	}

	q.Mounts = map[string]string{"vol-a": l.dir + "/x"}
	if r := l.ask(protocol.Recover, q, fault.InvalidInput); !strings.Contains(r.Error.Field, "vol-a") {
		t.Errorf("names %q", r.Error.Field)
	}
	q.Mounts = map[string]string{"/elsewhere": l.dir + "/x"}
	l.ask(protocol.Recover, q, fault.InvalidInput)
	must(t, os.MkdirAll(q.At+"/something", 0o755))
	q.Mounts = nil
	l.ask(protocol.Recover, q, fault.RestoreRefused)
	must(t, os.RemoveAll(q.At))
	q.Disks[0].Device = "/dev/quiesce-is-not-there"
	l.Patience = 0
	l.Recovery.Patience = 1
	l.ask(protocol.Recover, q, fault.VolumeUnresolved)
	same()
}

// A copy whose filesystem is damaged fails, and so does one that is none any
// more; nothing of them stays.
func TestRealDamagedFilesystem(t *testing.T) {
	for kind, c := range map[string]struct {
		harm, want string
		found      bool
	}{
		"ext4":  {"debugfs -w -R 'clri <12>' %s", "(ext4) is damaged: e2fsck", true},
		"xfs":   {"xfs_db -x -c 'inode 131' -c 'write core.nlinkv2 77' %s", "(xfs) is damaged: xfs_repair", true},
		"btrfs": {"dd if=/dev/zero of=%s bs=4096 seek=16 count=1 conv=notrunc", "mounted at /data is not found", false},
	} {
		t.Run(kind, func(t *testing.T) {
			l := newLab(t)
			file, mount := l.original(kind, "data", 320<<20)
			must(t, os.Mkdir(mount+"/folder", 0o755))
			for _, name := range []string{"/a", "/folder/b"} {
				write(t, mount+name, strings.Repeat("x", 10000))
			}
			device := sh(t, "findmnt", "-no", "SOURCE", mount)
			sh(t, "umount", mount)
			copied := l.copy(file)
			sh(t, "mount", device, mount)
			sh(t, "sh", "-c", strings.ReplaceAll(c.harm, "%s", copied))
			q := l.request(l.restored(copied, "vol-a", protocol.Place{Type: kind, Path: "/data"}))
			same := l.untouched()
			reply := l.ask(protocol.Recover, q, "").Recover
			if text := strings.Join(reply.Problems, "\n"); !strings.Contains(text, c.want) {
				t.Errorf("got %q, want %q", text, c.want)
			}
			if f := reply.Filesystems[0]; c.found != (len(f.Findings) > 0) || len(f.Findings) > mostFindings+1 {
				t.Errorf("got %+v", f)
			}
			same()
		})
	}
}

// A recovery that died half-way is taken away by the next one, whichever it is.
func TestRealCrash(t *testing.T) {
	l := newLab(t)
	file, mount := l.original("ext4", "data", 64<<20)
	sync(t, mount)
	q := l.request(l.restored(l.copy(file), "vol-a", protocol.Place{Type: "ext4", Path: "/data"}))
	same := l.untouched()
	q.Keep = true
	l.ask(protocol.Recover, q, "")
	j, err := l.open("restore-1")
	must(t, err)
	j.Reply = nil // as if it had died before it answered
	must(t, j.save())
	must(t, os.Rename(j.path, filepath.Join(l.journals(), "restore-0.json")))
	q.Keep = false
	l.ask(protocol.Recover, q, "")
	same()
}

// Both ways to make the machine read-only leave writable what is to be, and
// change nothing outside of the namespace.
func TestRealGuard(t *testing.T) {
	for name, by := range map[string]func(mounts.List) error{"at once": lock, "one by one": lockEach} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t)
			_, mount := l.original("ext4", "copy", 64<<20)
			_, other := l.original("ext4", "other", 64<<20)
			for _, d := range []string{"/room", "/plain"} {
				must(t, os.Mkdir(l.dir+d, 0o755))
			}
			try := func(dir string) error { return os.WriteFile(dir+"/file", nil, 0o600) }
			must(t, apart(func() error {
				if err := guardBy(by, []string{mount, l.dir + "/room"}); err != nil {
					return err
				}
				for dir, want := range map[string]error{mount: nil, l.dir + "/room": nil, other: unix.EROFS, l.dir + "/plain": unix.EROFS, "/run": unix.EROFS} {
					if err := try(dir); !errors.Is(err, want) {
						t.Errorf("%s: got %v, want %v", dir, err, want)
					}
				}
				return nil
			}))
			must(t, try(other))
			must(t, try(l.dir+"/plain"))
			if list, err := mounts.ReadList("/", "thread-self"); err != nil || strings.Contains(strings.Split(list[0].Options, ",")[0], "ro") {
				t.Errorf("the machine's own root is %+v, %v", list[0], err)
			}
		})
	}
}

// fake finds its data by a mark, and reports what it sees of it.
type fake struct {
	copy application.Copy
	seen string
}

func (f *fake) Find(folder string) bool {
	_, err := os.Stat(folder + "/mark")
	return err == nil
}

func (f *fake) Recover(_ context.Context, c application.Copy) (protocol.SecondServer, error) {
	text, err := os.ReadFile(c.Data + "/mark")
	f.copy, f.seen = c, string(text)
	return protocol.SecondServer{Kind: "fake", Started: true}, err
}

// Data on the volume of the system itself: the folder alone is laid over the
// machine's own, whose programs are used. What the copy does not have is not
// taken from the machine.
func TestRealDataOnTheRoot(t *testing.T) {
	l := newLab(t)
	f := &fake{}
	l.Recoverers = map[string]application.Recoverer{"fake": f}
	file, mount := l.original("ext4", "root", 64<<20)
	data := l.dir + "/srv/db"
	must(t, os.MkdirAll(mount+data, 0o755))
	must(t, os.MkdirAll(data, 0o755))
	write(t, mount+data+"/mark", "of the copy")
	write(t, data+"/mark", "of the machine")
	must(t, os.MkdirAll(l.dir+"/own", 0o755))
	write(t, l.dir+"/own/mark", "of the machine")
	sync(t, mount)
	q := l.request(l.restored(l.copy(file), "vol-a", protocol.Place{Type: "ext4", Path: "/"}))
	q.Application.Kind = "fake"
	same := l.untouched()
	for _, named := range []string{"", data} {
		q.Data = named
		reply := l.ask(protocol.Recover, q, "").Recover
		if f.copy.Data != data || f.seen != "of the copy" || len(reply.Problems) > 0 {
			t.Errorf("data %q: got %q of %q, %v", named, f.seen, f.copy.Data, reply.Problems)
		}
		l.ask(protocol.Unmount, nil, "")
		same()
	}
	for _, c := range []struct{ data, want string }{{l.dir + "/own", "lies on no copy"}, {l.dir + "/srv", "is no data folder"}} {
		q.Data = c.data
		if got := strings.Join(l.ask(protocol.Recover, q, "").Recover.Problems, ""); !strings.Contains(got, c.want) {
			t.Errorf("data %q: got %q, want %q", c.data, got, c.want)
		}
		l.ask(protocol.Unmount, nil, "")
	}
	if got := read(t, data+"/mark"); got != "of the machine" {
		t.Errorf("the machine has %q", got)
	}
}

func TestRealInUse(t *testing.T) {
	l := newLab(t)
	file, mount := l.original("ext4", "data", 64<<20)
	same := l.untouched()
	loop, _, _ := strings.Cut(sh(t, "losetup", "-j", file), ":")
	q := l.request(protocol.RestoredDisk{ID: "vol-x", Origin: "vol-a", Device: loop})
	if r := l.ask(protocol.Recover, q, fault.RestoreRefused); !strings.Contains(r.Error.Message, mount) {
		t.Errorf("got %q", r.Error.Message)
	}
	same()
}

// The user's own check sees the copies where the originals are, and can change
// nothing but them. What a link on a copy leads to is safe from it.
func TestRealCheckScript(t *testing.T) {
	l := newLab(t)
	file, mount := l.original("ext4", "srv/db", 64<<20)
	write(t, mount+"/kept", "as it was")
	write(t, l.dir+"/own", "the machine's")
	must(t, os.Symlink(l.dir+"/own", mount+"/link"))
	sync(t, mount)
	copied := l.copy(file)
	write(t, mount+"/kept", "as it is now")
	check := l.dir + "/check"
	write(t, check, `#!/bin/sh
[ "$(cat `+mount+`/kept)" = "as it was" ] || exit 3
[ "$(cat $QUIESCE_AT`+mount+`/kept)" = "as it was" ] || exit 4
echo changed > `+mount+`/kept || exit 5
echo changed > `+mount+`/link && exit 6
touch `+l.dir+`/new && exit 7
echo fine > $TMPDIR/x || exit 8
echo the check says so
`)
	must(t, os.Chmod(check, 0o755))
	q := l.request(l.restored(copied, "vol-a", protocol.Place{Type: "ext4", Path: mount}))
	q.Check = check
	same := l.untouched()
	reply := l.ask(protocol.Recover, q, "").Recover
	if s := reply.Script; s == nil || s.Exit != 0 || !strings.HasSuffix(s.Output, "the check says so") || len(reply.Problems) > 0 {
		t.Errorf("got %+v, %v", s, reply.Problems)
	}
	same()
	if own, now := read(t, l.dir+"/own"), read(t, mount+"/kept"); own != "the machine's" || now != "as it is now" {
		t.Errorf("the machine has %q and %q", own, now)
	}
	l.ask(protocol.Unmount, nil, "")

	write(t, check, "#!/bin/sh\nexit 9\n")
	reply = l.ask(protocol.Recover, q, "").Recover
	if len(reply.Problems) != 1 || reply.Script.Exit != 9 {
		t.Errorf("got %+v", reply)
	}
	l.ask(protocol.Unmount, nil, "")
	write(t, check, "#!/bin/sh\nsleep 60\n")
	q.TimeoutSeconds = 1
	l.ask(protocol.Recover, q, fault.RestoreTimedOut)
	same()
	must(t, os.Chmod(check, 0o777))
	if r := l.ask(protocol.Recover, q, fault.ScriptUnsafe); r.Error.Field != "recover.check" {
		t.Errorf("names %q", r.Error.Field)
	}
}
