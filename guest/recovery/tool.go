//go:build linux

package recovery

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
)

// tool runs a program of the machine to its end. An exit code other than 0 is
// no error: every tool here means something of its own by it.
type tool func(ctx context.Context, name string, args ...string) (said, error)

// said is how a program ended: its output, and what it complained of.
type said struct {
	Out, Err string
	Exit     int
}

// folders are where distributions keep the tools of an administrator; an
// agent's PATH may lack some.
const folders = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// run is the tool of this machine. It dies with the helper, so that nothing
// works on a disk that nobody watches.
func run(ctx context.Context, name string, args ...string) (said, error) {
	path := look(name)
	if path == "" {
		return said{}, fmt.Errorf("%s is not installed here", name)
	}
	cmd := exec.CommandContext(ctx, path, args...)
	cmd.Env, cmd.Dir = []string{"PATH=" + folders, "LC_ALL=C"}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	var out, complained bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limited{to: &out}, &limited{to: &complained}
	err := cmd.Run()
	s := said{Out: strings.TrimSpace(out.String()), Err: strings.TrimSpace(complained.String())}
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		s.Exit = exit.ExitCode()
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("%s: %w", name, errors.Join(err, context.Cause(ctx)))
	}
	return s, nil
}

func look(name string) string {
	for dir := range strings.SplitSeq(folders, ":") {
		if path, err := exec.LookPath(dir + "/" + name); err == nil {
			return path
		}
	}
	return ""
}

// must is a tool that has to end well.
func (t tool) must(ctx context.Context, name string, args ...string) (string, error) {
	s, err := t(ctx, name, args...)
	if err != nil {
		return "", err
	}
	if s.Exit != 0 {
		return "", fmt.Errorf("%s ended with %d: %s", name, s.Exit, last(s.Err+"\n"+s.Out))
	}
	return s.Out, nil
}

// last is the last line of a text that says anything, shortened.
func last(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return shorten(strings.TrimSpace(lines[len(lines)-1]))
}

const longest = 240 // of a sentence in a reply

func shorten(s string) string {
	s = strings.ToValidUTF8(s, "?")
	if len(s) <= longest {
		return s
	}
	return strings.ToValidUTF8(s[:longest-len("…")], "") + "…"
}

// limited keeps the beginning of what is written and swallows the rest: a
// check may complain of every block.
type limited struct {
	to *bytes.Buffer
}

func (l *limited) Write(p []byte) (int, error) {
	if room := 64<<10 - l.to.Len(); room > 0 {
		l.to.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}
