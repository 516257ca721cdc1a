package protocol

import (
	"path"
	"strings"

	"github.com/quiesce/quiesce/shared/fault"
)

// maxPath is how long a path may be.
const maxPath = 255

// CheckPath admits an absolute clean path that no shell could misread.
func CheckPath(field, s string) error {
	switch {
	case !strings.HasPrefix(s, "/") || path.Clean(s) != s:
		return fault.Input(field, "must be an absolute, clean path")
	case len(s) > maxPath:
		return fault.Input(field, "is longer than %d bytes", maxPath)
	case strings.ContainsAny(s, "\"'`$\\"):
		return fault.Input(field, "must not contain quotes, $, backtick or backslash")
	case strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 || r == 0x7f }):
		return fault.Input(field, "must not contain control characters")
	}
	return nil
}

// system are the folders over which nothing is mounted, nor in which.
var system = []string{"/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/sbin", "/sys", "/usr"}

// CheckMountPoint refuses a folder in which a mount would change the machine
// itself.
func CheckMountPoint(field, s string) error {
	if err := CheckPath(field, s); err != nil {
		return err
	}
	if s == "/" {
		return fault.Input(field, "is the root of the machine")
	}
	for _, folder := range system {
		if s == folder || strings.HasPrefix(s, folder+"/") && !strings.HasPrefix(s, "/dev/shm/") {
			return fault.Input(field, "lies in %s, which is the system's own", folder)
		}
	}
	return nil
}
