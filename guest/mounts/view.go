package mounts

import (
	"path"
	"strings"
)

// View is what one process sees mounted. Processes of different mount
// namespaces may mean different files by one path.
type View struct{ seen []entry }

// Place is where a file lies whoever looks: the superblock's number, and the
// path inside of it.
type Place struct{ Device, Inside string }

// ReadView reads what a process sees, "self" for this one.
func ReadView(root, pid string) (View, error) {
	all, err := entries(root, pid)
	return View{visible(all)}, err
}

// Place is where the process's path leads; zero if that is nowhere. Links on
// the way are not followed.
func (v View) Place(at string) Place {
	best, found := entry{}, false
	for _, e := range v.seen {
		if covers(e.point, at) && (!found || len(e.point) >= len(best.point)) {
			best, found = e, true
		}
	}
	if !found {
		return Place{}
	}
	return Place{best.device, path.Join(best.root, strings.TrimPrefix(at, best.point))}
}

// Path is a path by which the process reaches a place, if there is one.
func (v View) Path(p Place) (at string, found bool) {
	for _, e := range v.seen {
		if e.device == p.Device && covers(e.root, p.Inside) {
			at = path.Join(e.point, strings.TrimPrefix(p.Inside, e.root))
			if v.Place(at) == p { // nothing is mounted over it
				return at, true
			}
		}
	}
	return "", false
}
