//go:build linux

package linux

import (
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Descriptors of a guard, in the order in which Open passes them.
const (
	guardDir      = 3 + iota // the filesystem, already open
	guardControl             // EOF: the session's process is dead
	guardStatus              // answers
	guardFreezing            // EOF: the freeze call is over; a byte before it: nothing is frozen by us
	guardAlive               // held open: its EOF tells the witness that this guard died
	guardMark                // what was done, for whoever recovers
)

const (
	freezePoll = 2 * time.Millisecond
	lastWord   = 50 * time.Millisecond
	thawRetry  = 100 * time.Millisecond
	thawGiveUp = 30 * time.Minute
)

// Guard stands behind one frozen filesystem. Once armed it touches nothing but
// its descriptors: it thaws when told to, at the deadline, or as soon as the
// session's process is gone.
func Guard() int {
	child()
	fsThaw(-1) // so that the code is in memory
	unix.Write(-1, nil)
	in := &listener{fd: guardControl}
	var deadline int64
	result := ""
	for {
		until := deadline
		if result != "" {
			until = 0
		}
		line := in.next(until)
		word, arg, _ := strings.Cut(line, " ")
		switch {
		case word == "arm":
			deadline = atoi(arg)
			mark("armed " + itoa(int64(os.Getpid())) + " " + startTime("self"))
			say(guardStatus, "armed")
		case word == "off":
			return 0
		case word == "thaw":
			if result == "" {
				result = guardThaw("asked", true)
			}
			say(guardStatus, result)
		case word == "through":
			// The tripwire got through: unless this guard let it, somebody else
			// thawed, and what is frozen from now on is theirs.
			if result == "" {
				result = guardDone("not-frozen", "tripped", mono())
			}
			say(guardStatus, result)
		case in.eof && (deadline == 0 || result != ""):
			return 0
		case in.eof:
			guardThaw("daemon-died", false)
			return 0
		case line == "" && deadline != 0 && result == "" && mono() >= deadline:
			result = guardThaw("deadline", false)
			say(guardStatus, result)
		}
	}
}

// guardThaw thaws, past every EINVAL that may only mean that the freeze call
// has not come to its end: a thaw sent too early leaves a freeze that stands.
func guardThaw(why string, asked bool) string {
	began := mono()
	said := false
	if !asked {
		ended(guardFreezing, lastWord) // a witness that dies with the session says so first
	}
	for {
		over := ended(guardFreezing, 0)
		at := mono()
		if over && refusedFreeze() {
			return guardDone("not-frozen", why, at)
		}
		err := fsThaw(guardDir)
		switch {
		case err == nil:
			return guardDone("ok", why, at)
		case err == unix.EINVAL && over:
			return guardDone("not-frozen", why, at)
		case err == unix.EINVAL:
			ended(guardFreezing, freezePoll)
			continue
		}
		if !said && asked {
			say(guardStatus, "failed "+err.Error())
			said = true
		}
		if mono()-began > int64(thawGiveUp) {
			return guardDone("error", why, at)
		}
		time.Sleep(thawRetry)
	}
}

// refusedFreeze reports that the witness, whose call is over, has frozen nothing:
// whoever froze it is to thaw it.
func refusedFreeze() bool {
	n, err := unix.Read(guardFreezing, make([]byte, 1))
	return err == nil && n == 1
}

func guardDone(how, why string, began int64) string {
	line := "thawed " + how + " " + why + " " + itoa(began) + " " + itoa(mono())
	mark(line)
	return line
}

// mark keeps one line where whoever recovers finds it. It is written before
// the freeze and after the thaw, never in between.
func mark(line string) {
	unix.Ftruncate(guardMark, 0)
	unix.Pwrite(guardMark, []byte(line+"\n"), 0)
}

// startTime tells two processes of one id apart.
func startTime(pid string) string {
	raw, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return ""
	}
	s := string(raw)
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" || fields[0] == "X" {
		return ""
	}
	return fields[19]
}
