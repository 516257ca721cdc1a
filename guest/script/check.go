// Package script runs a user's script as root, and therefore first makes sure
// that nobody but root can have written it.
package script

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/quiesce/quiesce/shared/fault"
)

// Rules say whose scripts may run. The zero value, root's, is what the helper
// uses; tests that are not root's name their own owner and trusted root.
type Rules struct {
	Owner int
	Base  string // folders from here up are not looked at; empty: all are
}

const maxLinks = 16

// Check refuses a script that somebody else than its owner could change. Every
// folder on the way is checked, and every link on the way is followed by hand,
// so that what is checked is what will run. Sticky folders such as /tmp are no
// exception: whoever comes first owns the name there.
func (r Rules) Check(path string) error {
	_, err := r.Resolve(path)
	return err
}

// Resolve is Check, and returns the file itself without any link.
func (r Rules) Resolve(path string) (string, error) {
	if !filepath.IsAbs(path) || filepath.Clean(path) != path {
		return "", unsafe(path, "must be an absolute, clean path")
	}
	if i := strings.IndexFunc(path, odd); i >= 0 {
		return "", unsafe(path, "has a character in its path that a shell could read as its own")
	}
	links := 0
	return r.follow(path, &links)
}

func (r Rules) follow(path string, links *int) (string, error) {
	at := "/"
	if err := r.folder(at); err != nil {
		return "", err
	}
	parts := strings.Split(strings.Trim(path, "/"), "/")
	for i, p := range parts {
		next := filepath.Join(at, p)
		fi, err := os.Lstat(next)
		if err != nil {
			return "", unsafe(next, "cannot be looked at: "+reason(err))
		}
		last := i == len(parts)-1
		switch {
		case fi.Mode()&os.ModeSymlink != 0:
			if err := r.owned(next, fi); err != nil {
				return "", err
			}
			if *links++; *links > maxLinks {
				return "", unsafe(path, "has too many links on the way")
			}
			to, err := os.Readlink(next)
			if err != nil {
				return "", unsafe(next, "cannot be read: "+reason(err))
			}
			if !filepath.IsAbs(to) {
				to = filepath.Join(at, to)
			}
			return r.follow(filepath.Join(append([]string{to}, parts[i+1:]...)...), links)
		case !last && !fi.IsDir():
			return "", unsafe(next, "is no folder")
		case !last:
			if err := r.folder(next); err != nil {
				return "", err
			}
		case !fi.Mode().IsRegular():
			return "", unsafe(next, "is no regular file")
		case fi.Mode().Perm()&0o111 == 0:
			return "", unsafe(next, "is not executable")
		default:
			if err := r.ours(next, fi); err != nil {
				return "", err
			}
		}
		at = next
	}
	return at, nil
}

func (r Rules) folder(path string) error {
	if r.Base != "" && (path == "/" || path != r.Base && strings.HasPrefix(r.Base, path+"/")) {
		return nil
	}
	fi, err := os.Lstat(path)
	if err != nil {
		return unsafe(path, "cannot be looked at: "+reason(err))
	}
	return r.ours(path, fi)
}

func (r Rules) ours(path string, fi os.FileInfo) error {
	if err := r.owned(path, fi); err != nil {
		return err
	}
	if fi.Mode().Perm()&0o022 != 0 {
		return unsafe(path, fmt.Sprintf("can be written by others than its owner (mode %04o)", fi.Mode().Perm()))
	}
	return nil
}

func (r Rules) owned(path string, fi os.FileInfo) error {
	st, ok := fi.Sys().(*syscall.Stat_t)
	if !ok || int(st.Uid) != r.Owner {
		return unsafe(path, "is not root's")
	}
	return nil
}

// odd admits what needs no quoting anywhere.
func odd(c rune) bool {
	switch {
	case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		return false
	}
	return !strings.ContainsRune("/._-+@:,=%", c)
}

func unsafe(path, why string) error {
	return fault.New(fault.ScriptUnsafe, "%s %s", path, why)
}

func reason(err error) string {
	if e, ok := err.(*os.PathError); ok {
		return e.Err.Error()
	}
	return err.Error()
}
