// Package mounts resolves what is mounted to the disks under it: mountinfo to
// superblocks, superblocks to block devices, block devices through partitions,
// device mapper, md and loop files to whole disks. It only reads /proc and
// /sys under a root, so that recorded trees test it.
package mounts

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// entry is one line of mountinfo.
type entry struct {
	id       int
	parent   int
	device   string // major:minor of the superblock
	root     string // what of the filesystem is mounted
	point    string
	readOnly bool // this mount
	options  string
	kind     string
	source   string
	superRO  bool // the superblock
}

// entries are the mounts that a process sees.
func entries(root, pid string) ([]entry, error) {
	f, err := os.Open(filepath.Join(root, "proc", pid, "mountinfo"))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return parse(f)
}

// parse reads mountinfo as proc(5) describes it.
func parse(r io.Reader) ([]entry, error) {
	var out []entry
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		f := strings.Split(lines.Text(), " ")
		dash := -1
		for i := 6; i < len(f); i++ {
			if f[i] == "-" {
				dash = i
				break
			}
		}
		if dash < 0 || len(f) < dash+4 {
			return nil, fmt.Errorf("mountinfo: cannot read %q", lines.Text())
		}
		id, _ := strconv.Atoi(f[0])
		parent, _ := strconv.Atoi(f[1])
		out = append(out, entry{
			id: id, parent: parent, device: f[2], root: unescape(f[3]), point: unescape(f[4]),
			readOnly: option(f[5], "ro"), options: f[5], kind: f[dash+1], source: unescape(f[dash+2]), superRO: option(f[dash+3], "ro"),
		})
	}
	return out, lines.Err()
}

func option(list, want string) bool {
	for o := range strings.SplitSeq(list, ",") {
		if o == want {
			return true
		}
	}
	return false
}

// unescape undoes the kernel's octal escapes of blank, tab, newline, backslash
// and hash.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if n, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(n))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// visible drops the mounts that another one hides: a later mount on the same
// point, or on a directory above it, covers what was there before.
func visible(all []entry) []entry {
	var out []entry
	for i, e := range all {
		hidden := false
		for j, o := range all {
			if i == j || !covers(o.point, e.point) {
				continue
			}
			// A mount on the same point that has this one as its parent, or a
			// later one on a directory above that this one does not stand on.
			if o.point == e.point && (o.parent == e.id || j > i) ||
				o.point != e.point && j > i && !ancestor(all, o.id, e) {
				hidden = true
				break
			}
		}
		if !hidden {
			out = append(out, e)
		}
	}
	return out
}

func covers(above, point string) bool {
	return above == point || above == "/" || strings.HasPrefix(point, above+"/")
}

func ancestor(all []entry, id int, e entry) bool {
	for range all {
		if e.parent == id {
			return true
		}
		found := false
		for _, o := range all {
			if o.id == e.parent && o.id != e.id {
				e, found = o, true
				break
			}
		}
		if !found {
			return false
		}
	}
	return false
}
