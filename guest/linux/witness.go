//go:build linux

package linux

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Descriptors of a witness, in the order in which Open passes them.
const (
	witnessDir      = 3 + iota // the filesystem, already open
	witnessControl             // flush, go
	witnessReport              // answers
	witnessFreezing            // closed when the freeze call is over; a byte before it: nothing is frozen by us
	witnessAlive               // EOF: the guard is dead
)

// nowhere is the name that the tripwire removes. It does not exist, hence the
// call changes nothing when it gets through.
const nowhere = ".quiesce-tripwire-that-is-not-there"

// Witness makes the calls that may hang, in a process that may hang: it
// flushes, freezes, and then becomes the tripwire, a write-type call that
// blocks for as long as nobody thaws.
func Witness() int {
	child()
	in := &listener{fd: witnessControl}
	for {
		switch in.next(0) {
		case "flush":
			say(witnessReport, "flushed", word(unix.Syncfs(witnessDir)))
		case "go":
			return witnessFreeze()
		default:
			if in.eof {
				nothingFrozen()
				return 0
			}
		}
	}
}

func witnessFreeze() int {
	began := mono()
	err := fsFreeze(witnessDir)
	over := mono()
	if err == nil && ended(witnessAlive, 0) {
		// Nothing stands behind this freeze: it must not stand.
		fsThaw(witnessDir)
		unix.Close(witnessFreezing)
		say(witnessReport, "guardless")
		return 1
	}
	if err != nil {
		nothingFrozen()
	}
	unix.Close(witnessFreezing)
	if err != nil {
		say(witnessReport, "refused", word(err))
		return 1
	}
	say(witnessReport, "frozen", itoa(began), itoa(over), itoa(int64(unix.Gettid())))
	err = unix.Unlinkat(witnessDir, nowhere, unix.AT_REMOVEDIR)
	say(witnessReport, "through", itoa(mono()), word(err))
	return 0
}

// nothingFrozen lets the guard know that what may be frozen is somebody else's.
// Without this word it takes the freeze for ours: a witness that was killed may
// have left one.
func nothingFrozen() { unix.Write(witnessFreezing, []byte("-")) }

// word is an error number for a pipe, 0 for none.
func word(err error) string {
	if err == nil {
		return "0"
	}
	var errno unix.Errno
	if errors.As(err, &errno) {
		return itoa(int64(errno))
	}
	return itoa(int64(unix.EIO))
}

// tripwire is a blocked thread as the kernel shows it.
type tripwire struct {
	dir      string // /proc/PID/task/TID
	switches string
}

// look reports whether the thread sleeps uninterruptibly in the tripwire's
// call, and how often it has been switched: unchanged means that it has not
// run since.
func (t tripwire) look() (switches string, blocked bool) {
	raw, err := os.ReadFile(t.dir + "/stat")
	if err != nil {
		return "", false
	}
	s := string(raw)
	i := strings.LastIndexByte(s, ')')
	if i < 0 || len(s) < i+3 || s[i+2] != 'D' {
		return "", false
	}
	// Where the kernel tells the call, it must be the tripwire's.
	if raw, err := os.ReadFile(t.dir + "/syscall"); err == nil {
		nr, _, _ := strings.Cut(string(raw), " ")
		if nr != itoa(unix.SYS_UNLINKAT) && strings.TrimSpace(nr) != "running" && nr != "-1" {
			return "", false
		}
		if strings.TrimSpace(nr) == "running" {
			return "", false
		}
	}
	raw, err = os.ReadFile(t.dir + "/status")
	if err != nil {
		return "", false
	}
	for line := range strings.Lines(string(raw)) {
		if strings.Contains(line, "voluntary_ctxt_switches") {
			switches += line
		}
	}
	return switches, true
}
