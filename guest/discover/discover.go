// Package discover finds the database servers that run on a machine, where
// their files lie and where they listen, by what the kernel shows of their
// processes. It asks no server anything and only reads under /proc, so that
// recorded trees test it.
package discover

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/protocol"
)

// Read finds the servers that run on the machine whose root is given, "/" for
// this one, in the order of their kinds and processes. A process that ends
// meanwhile is left out.
func Read(root string) ([]protocol.Found, error) {
	entries, err := os.ReadDir(filepath.Join(root, "proc"))
	if err != nil {
		return nil, err
	}
	ours, err := mounts.ReadView(root, "self")
	if err != nil {
		return nil, err
	}
	servers := map[int]process{}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		p := process{dir: filepath.Join(root, "proc", e.Name()), pid: pid}
		if p.identify() {
			servers[pid] = p
		}
	}
	here, _ := os.Readlink(filepath.Join(root, "proc/self/ns/mnt"))
	found := []protocol.Found{}
	for _, p := range servers {
		// A server's own children look like it: sessions, a snapshot's writer.
		if parent, ok := servers[p.parent]; ok && parent.kind.name == p.kind.name {
			continue
		}
		if f, ok := p.describe(root, ours, here); ok {
			found = append(found, f)
		}
	}
	slices.SortFunc(found, func(a, b protocol.Found) int {
		return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.PID, b.PID))
	})
	return found, nil
}

// describe puts together what is known of a server's process. In a mount
// namespace of its own its paths mean the same as here only if they lead to the
// same places: a service whose system folders are read-only has such a
// namespace, and so has a container, where hardly any path does.
func (p process) describe(root string, ours mounts.View, here string) (protocol.Found, bool) {
	theirs, err := mounts.ReadView(root, strconv.Itoa(p.pid))
	if err != nil {
		return protocol.Found{}, false // it has ended
	}
	f := protocol.Found{Kind: p.kind.name, Program: p.program, PID: p.pid, UID: p.uid()}
	data := p.kind.data(p)
	f.Socket, f.Port = p.listens()
	f.Apart = p.apart(theirs, ours, here, data, f.Socket)
	if f.Apart != "" {
		f.Socket = ""
	}
	all := []string{data}
	if p.kind.also != nil {
		all = append(all, p.kind.also(p, root, data)...)
	}
	for _, at := range all {
		if at == "" {
			continue
		}
		place := theirs.Place(at)
		if path, ok := ours.Path(place); ok {
			at = path
		}
		folder := protocol.Folder{Path: at, Device: place.Device}
		if !slices.ContainsFunc(f.Folders, func(have protocol.Folder) bool { return have.Device == folder.Device && under(folder.Path, have.Path) }) {
			f.Folders = append(f.Folders, folder)
		}
	}
	return f, true
}

// apart tells why the helper cannot speak to the server, empty if it can.
func (p process) apart(theirs, ours mounts.View, here, data, socket string) string {
	if there := p.link("ns/mnt"); there == here || there == "" {
		return ""
	}
	for _, of := range []struct{ what, path string }{{"data", data}, {"socket", socket}} {
		if of.path != "" && theirs.Place(of.path) != ours.Place(of.path) {
			return fmt.Sprintf("it runs in another mount namespace, as in a container, where its %s is at %s", of.what, of.path)
		}
	}
	return ""
}
