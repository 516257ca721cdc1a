package disk

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A copy tells by itself whether its filesystem was frozen when it was taken.
func TestACopyTellsWhetherItWasTakenFrozen(t *testing.T) {
	for _, filesystem := range []string{Ext4, XFS} {
		t.Run(filesystem, func(t *testing.T) {
			p := openPool(t, Reflink)
			at := newMounted(t, p, "v", filesystem)
			dir, err := os.Open(at)
			must(t, err)
			defer dir.Close()
			for i := range 5 {
				must(t, os.WriteFile(filepath.Join(at, fmt.Sprint("live", i)), make([]byte, 8192), 0o600))
				must(t, unix.Syncfs(int(dir.Fd())))
				must(t, p.Snapshot(t.Context(), map[string]string{"v": fmt.Sprint("live", i)}))
				freeze(t, p, dir)
				must(t, p.Snapshot(t.Context(), map[string]string{"v": fmt.Sprint("frozen", i)}))
				must(t, unix.IoctlSetInt(int(dir.Fd()), fiThaw, 0))
			}
			for i := range 5 {
				for _, taken := range []string{"live", "frozen"} {
					name := fmt.Sprint(taken, i)
					got, err := Inspect(t.Context(), restore(t, p, name, name))
					must(t, err)
					if got.Settled != (taken == "frozen") || got.Filesystem != filesystem {
						t.Errorf("taken %s: %+v", taken, got)
					}
				}
			}
		})
	}
}

// freeze freezes a filesystem of the test with a guard behind it.
func freeze(t *testing.T, p *Pool, dir *os.File) {
	t.Helper()
	g, err := newGuard(dir, freezeLimit, p.room.Mark())
	must(t, err)
	t.Cleanup(g.cancel)
	must(t, unix.IoctlSetInt(int(dir.Fd()), fiFreeze, 0))
}

func TestNeedsRecoveryIsReadFromTheSuperblock(t *testing.T) {
	image := make([]byte, 2048)
	image[1024+0x60] = 0xc6
	got, err := inspectExt4(bytes.NewReader(image))
	if err != nil || got.Settled {
		t.Errorf("with the flag: %+v, %v", got, err)
	}
	image[1024+0x60] = 0xc2
	if got, err = inspectExt4(bytes.NewReader(image)); err != nil || !got.Settled {
		t.Errorf("without the flag: %+v, %v", got, err)
	}
}

func TestLogPrintedByXFS(t *testing.T) {
	const super = "TRANS: tid:0x1  #items:2  trans:0x1  q:0x1\nBUF: cnt:2 total:2 a:0x1 len:24 a:0x1 len:384 \n" +
		"\tBUF:  #regs:2   start blkno:0x0   len:1   bmap size:1   flags:0x9000\n\tSUPER Block Buffer:\n"
	const inode = "INO: cnt:3 total:3 a:0x1 len:56 a:0x1 len:176 a:0x1 len:16 \n\tINODE: #regs:3   ino:0x26f  flags:0x5   dsize:16\n" +
		"\tCORE inode:\n\t\tDATA FORK EXTENTS inode data:\n"
	const dirty = "    log tail: 656 head: 660 state: <DIRTY>\n"
	for _, c := range []struct {
		name, printed string
		settled, bad  bool
	}{
		{"unmounted", "    log tail: 322 head: 322 state: <CLEAN>\n", true, false},
		{"frozen", dirty + super + super, true, false},
		{"live", dirty + super + inode, false, false},
		{"nothing read from a dirty log", dirty, false, false},
		{"not understood", "something else", false, true},
	} {
		got, err := settledXFS(c.printed)
		if got.Settled != c.settled || (err != nil) != c.bad {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}
