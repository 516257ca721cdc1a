//go:build linux

package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/mounts"
	"github.com/quiesce/quiesce/shared/fault"
)

func deviceNumber(device string) (string, error) {
	var st unix.Stat_t
	if err := unix.Stat(device, &st); err != nil {
		return "", fmt.Errorf("looking at %s: %w", device, err)
	}
	return fmt.Sprintf("%d:%d", unix.Major(uint64(st.Rdev)), unix.Minor(uint64(st.Rdev))), nil
}

func (c *copied) origin() string { return strings.Join(c.origins, ",") }

// settle decides where each filesystem goes, and refuses places that are taken
// before anything is mounted.
func (w *work) settle(ctx context.Context) error {
	unused := maps.Clone(w.req.Mounts)
	var all []*copied
	count := map[string]int{}
	for _, c := range w.copies {
		if c.mountable() {
			count[c.origin()]++
		}
	}
	for _, c := range w.copies {
		if why := c.left(); why != "" {
			c.told.How = why
			if c.kind != "" && c.kind != swap {
				w.note("%s of %s: %s", c.device, c.origin(), why)
			}
		}
		if !c.mountable() {
			continue
		}
		if err := w.old(ctx, c); err != nil {
			return err
		}
		byWas, named := w.req.Mounts[c.was]
		byOrigin, volume := w.req.Mounts[c.origin()]
		switch {
		case c.was != "" && named:
			c.mount = byWas
			delete(unused, c.was)
		case volume && count[c.origin()] > 1:
			return fault.Input("recover.mounts["+c.origin()+"]", "has %d filesystems: name them by their old mount points", count[c.origin()])
		case volume:
			c.mount = byOrigin
			delete(unused, c.origin())
		case c.was != "":
			c.mount = filepath.Join(w.req.At, c.was)
		default:
			c.mount = filepath.Join(w.req.At, strings.ReplaceAll(strings.Join(append(slices.Clone(c.origins), c.part), "-"), "/", "_"))
			c.mount = strings.TrimSuffix(c.mount, "-")
		}
		all = append(all, c)
	}
	for _, of := range slices.Sorted(maps.Keys(unused)) {
		return fault.Input("recover.mounts["+of+"]", "is neither an old mount point nor a volume of the set that has a filesystem")
	}
	slices.SortFunc(all, func(a, b *copied) int { return strings.Compare(a.mount, b.mount) })
	for i, c := range all {
		if i > 0 && all[i-1].mount == c.mount {
			return fault.New(fault.RestoreRefused, "%s and %s would both be mounted at %s", all[i-1].device, c.device, c.mount)
		}
	}
	w.mountable = all
	w.accounted()
	return w.free()
}

// accounted sees that each filesystem of which the set knows is there: one that
// nobody recognizes any more is lost.
func (w *work) accounted() {
	told := map[string]bool{}
	for _, c := range w.copies {
		for _, p := range c.places {
			known := func(o *copied) bool { return o.was == p.Path }
			if told[p.Path] || slices.ContainsFunc(w.copies, known) {
				continue
			}
			told[p.Path] = true
			w.problem("the filesystem (%s) that was mounted at %s is not found on the disk of %s", p.Type, p.Path, c.origin())
		}
	}
}

// old finds where a filesystem was mounted: as the snapshot's tag tells, else
// where the superblock does.
func (w *work) old(ctx context.Context, c *copied) error {
	for _, p := range c.places {
		same := p.Type == c.kind || strings.HasPrefix(p.Type, extents) && c.ext()
		if same && (p.Part == c.part || c.alone && len(c.places) == 1) {
			c.was = p.Path
			return nil
		}
	}
	if !c.ext() || len(c.places) > 0 {
		return nil
	}
	s, err := w.tool(ctx, "dumpe2fs", "-h", c.device)
	if err != nil {
		return fault.Wrap(fault.Internal, err, "reading the superblock of %s", c.device)
	}
	for line := range strings.Lines(s.Out) {
		if at, ok := strings.CutPrefix(line, "Last mounted on:"); ok {
			if at = strings.TrimSpace(at); filepath.IsAbs(at) && filepath.Clean(at) == at {
				c.was = at
			}
		}
	}
	return nil
}

// free refuses places where something is already. In a test nobody else sees
// the mounts, and only the folder itself has to be ours.
func (w *work) free() error {
	list, err := mounts.ReadList("/", "thread-self")
	if err != nil {
		return fault.Wrap(fault.Internal, err, "reading what is mounted")
	}
	for _, at := range append(slices.Collect(maps.Values(w.req.Mounts)), w.req.At) {
		field := "recover.mounts"
		if at == w.req.At {
			field = "recover.at"
		}
		if _, taken := list.At(at); taken {
			return &fault.Error{Code: fault.RestoreRefused, Field: field, Message: at + " has something mounted already"}
		}
		entries, err := os.ReadDir(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return &fault.Error{Code: fault.RestoreRefused, Field: field, Message: at + " cannot be used", Cause: err}
		case len(entries) > 0:
			return &fault.Error{Code: fault.RestoreRefused, Field: field, Message: fmt.Sprintf("%s is not empty: it holds %s", at, entries[0].Name())}
		}
	}
	return nil
}
