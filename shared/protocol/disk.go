package protocol

import (
	"path"
	"regexp"
	"strings"
)

// SameSerial reports whether two serial numbers are of one disk: a volume's id
// is told with or without its dash.
func SameSerial(a, b string) bool { return a != "" && Serial(a) == Serial(b) }

// Serial brings the ways together in which one serial number is written.
func Serial(s string) string { return strings.ToLower(strings.ReplaceAll(s, "-", "")) }

var partition = regexp.MustCompile(`^((?:xv|s|v)d[a-z]+)\d+$`)

// KernelName brings the names of one disk together: the provider attaches
// /dev/sdf or /dev/sda1 where the kernel says xvdf or xvda.
func KernelName(device string) string {
	name := path.Base(device)
	if m := partition.FindStringSubmatch(name); m != nil {
		name = m[1]
	}
	if rest, ok := strings.CutPrefix(name, "sd"); ok {
		name = "xvd" + rest
	}
	return name
}
