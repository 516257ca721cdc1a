package discover

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// process is one process, by its folder under /proc.
type process struct {
	dir     string
	pid     int
	parent  int
	program string
	kind    kind
}

// identify reports whether it is a server's. A program goes by its file's name,
// or by the name that it was called by, where the file is a link: Redis is one
// file, which does by its name what it does.
func (p *process) identify() bool {
	exe := strings.TrimSuffix(p.link("exe"), " (deleted)")
	if exe == "" {
		return false // the kernel's, or dead
	}
	names := []string{path.Base(exe), strings.TrimSpace(p.text("comm"))}
	if called := strings.FieldsFunc(p.text("cmdline"), func(r rune) bool { return r == 0 || r == ' ' }); len(called) > 0 && manyNames[names[0]] {
		names = append(names, path.Base(called[0]))
	}
	for _, name := range names {
		if k, known := kinds[name]; known {
			p.program, p.kind, p.parent = name, k, p.parentID()
			return true
		}
	}
	return false
}

func (p process) link(name string) string {
	to, err := os.Readlink(filepath.Join(p.dir, name))
	if err != nil {
		return ""
	}
	return to
}

func (p process) text(name string) string {
	raw, err := os.ReadFile(filepath.Join(p.dir, name))
	if err != nil {
		return ""
	}
	return string(raw)
}

// status is a field of the kernel's account of the process.
func (p process) status(field string) []string {
	for line := range strings.Lines(p.text("status")) {
		if rest, ok := strings.CutPrefix(line, field+":"); ok {
			return strings.Fields(rest)
		}
	}
	return nil
}

func (p process) number(field string, i int) int {
	if f := p.status(field); len(f) > i {
		n, _ := strconv.Atoi(f[i])
		return n
	}
	return -1
}

func (p process) parentID() int { return p.number("PPid", 0) }

// uid is whom it acts as.
func (p process) uid() int { return p.number("Uid", 1) }

// option is the value of one on its command line, empty for none.
func (p process) option(names ...string) string {
	args := strings.Split(p.text("cmdline"), "\x00")
	for i, arg := range args {
		for _, name := range names {
			if value, ok := strings.CutPrefix(arg, name+"="); ok {
				return value
			}
			if arg == name && i+1 < len(args) {
				return args[i+1]
			}
		}
	}
	return ""
}

// open are the targets of its descriptors, in no particular order.
func (p process) open() (targets []string) {
	entries, _ := os.ReadDir(filepath.Join(p.dir, "fd"))
	for _, e := range entries {
		if to := p.link("fd/" + e.Name()); to != "" {
			targets = append(targets, to)
		}
	}
	return targets
}

// holding is the first folder, by name, in which it has a file open that is
// called so.
func (p process) holding(called func(name string) bool) string {
	if dirs := p.holdings(called); len(dirs) > 0 {
		return dirs[0]
	}
	return ""
}

func (p process) holdings(called func(name string) bool) (dirs []string) {
	for _, to := range p.open() {
		if strings.HasPrefix(to, "/") && called(path.Base(to)) && !slices.Contains(dirs, path.Dir(to)) {
			dirs = append(dirs, path.Dir(to))
		}
	}
	slices.Sort(dirs)
	return dirs
}

// listens finds where it takes connections: the path of a socket, and a port of
// TCP, by the descriptors that it holds.
func (p process) listens() (socket string, port int) {
	held := map[string]bool{}
	for _, to := range p.open() {
		if inode, ok := strings.CutPrefix(to, "socket:["); ok {
			held[strings.TrimSuffix(inode, "]")] = true
		}
	}
	const accepting = 0x10000
	var sockets []string
	for line := range strings.Lines(p.text("net/unix")) {
		f := strings.Fields(line) // slot: references protocol flags type state inode path
		if len(f) < 8 || !held[f[6]] || strings.HasPrefix(f[7], "@") {
			continue
		}
		if flags, err := strconv.ParseUint(f[3], 16, 64); err != nil || flags&accepting == 0 {
			continue
		}
		if at := strings.Join(f[7:], " "); p.kind.socket == nil || p.kind.socket(path.Base(at)) {
			sockets = append(sockets, p.absolute(at))
		}
	}
	slices.Sort(sockets)
	if len(sockets) > 0 {
		socket = sockets[0]
	}
	for _, table := range []string{"net/tcp", "net/tcp6"} {
		for line := range strings.Lines(p.text(table)) {
			f := strings.Fields(line) // slot: local remote state queues timer retransmits uid timeout inode
			if len(f) < 10 || f[3] != "0A" || !held[f[9]] {
				continue
			}
			_, hex, _ := strings.Cut(f[1], ":")
			if n, err := strconv.ParseUint(hex, 16, 16); err == nil && (port == 0 || int(n) < port) {
				port = int(n)
			}
		}
	}
	return socket, port
}

// absolute is a path as the process gave it to the kernel, which keeps it as it
// is: relative to where it stood, and to its root.
func (p process) absolute(at string) string {
	if !path.IsAbs(at) {
		return path.Join(p.link("cwd"), at)
	}
	if above := p.link("root"); above != "" && above != "/" {
		return path.Join(above, at)
	}
	return path.Clean(at)
}

// under reports whether a path is another one or lies below it.
func under(at, above string) bool {
	return at == above || strings.HasPrefix(at, strings.TrimSuffix(above, "/")+"/")
}
