//go:build linux

package recovery

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/quiesce/quiesce/guest/application"
	"github.com/quiesce/quiesce/guest/script"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

// view is how a second server and the user's check see the copies: by the
// paths that the originals had, so that links between them lead where they led.
type view struct {
	w      *work
	look   []string // the folders at which copies are seen
	root   string   // where a copy of the machine's own root is mounted; empty: there is none
	handle map[string]int
}

// serve lets the server recover and the user's check look, where the copies lie
// over their originals and all else is read-only.
func (w *work) serve(ctx context.Context) error {
	kind := w.req.Application.Kind
	if !starts(kind) && w.req.Check == "" {
		return nil
	}
	at, err := w.room()
	if err != nil {
		return err
	}
	v := &view{w: w, handle: map[string]int{}}
	defer v.close()
	if err := v.lay(at); err != nil {
		return err
	}
	var data string
	if starts(kind) {
		if data, err = v.find(w.Recoverers[kind]); err != nil {
			return err
		}
	}
	if err := guard(append(slices.Clone(v.look), at)); err != nil {
		return err
	}
	if data == "" {
		return w.script(ctx, at, "")
	}
	visited := false
	server, err := w.Recoverers[kind].Recover(ctx, application.Copy{
		Data: data, Look: v.look, Room: at, Files: w.req.Files, Keep: w.req.Keep, Copied: v.copied, Note: w.note,
		Visit: func(ctx context.Context, socket string) error {
			visited = true
			return w.script(ctx, at, socket)
		},
	})
	w.reply.Server = &server
	if n := len(server.Findings); n > 0 {
		more := ""
		if n > 1 {
			more = fmt.Sprintf(", and %d more", n-1)
		}
		w.problem("%s on the copies: %s%s", kind, server.Findings[0], more)
		for i, f := range server.Findings {
			server.Findings[i] = shorten(f)
		}
	}
	if err == nil && !visited && w.req.Check != "" {
		w.problem("%s was not run: there was no server for it", w.req.Check)
	}
	return err
}

// lay mounts every copy over the place of its original.
func (v *view) lay(room string) error {
	all := slices.DeleteFunc(slices.Clone(v.w.mountable), func(c *copied) bool { return c.told.Mount == "" })
	slices.SortFunc(all, func(a, b *copied) int { return strings.Compare(a.was, b.was) })
	for _, c := range all { // all at once: one that is laid may hide where the next one is
		fd, err := unix.Open(c.mount, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
		if err != nil {
			return fault.Wrap(fault.Internal, err, "opening %s", c.mount)
		}
		v.handle[c.mount] = fd
	}
	for _, c := range all {
		switch {
		case c.was == "/":
			v.root = c.mount
			v.look = append(v.look, c.mount)
		case c.was == "" || protocol.CheckMountPoint("", c.was) != nil || within(room, c.was):
			v.look = append(v.look, c.mount)
		default:
			if err := v.over(c.mount, "", c.was); err != nil {
				return err
			}
			v.look = append(v.look, c.was)
		}
	}
	return nil
}

// over lays a folder of a copy over a path, which is made if need be.
func (v *view) over(mount, inside, path string) error {
	if err := v.w.folders(point, path); err != nil {
		return fault.Wrap(fault.Internal, err, "making %s, where the copy of it is laid", path)
	}
	return overlay(filepath.Join(fmt.Sprintf("/proc/thread-self/fd/%d", v.handle[mount]), inside), path)
}

func (v *view) close() {
	for _, fd := range v.handle {
		unix.Close(fd)
	}
}

func within(path, above string) bool { return path == above || strings.HasPrefix(path, above+"/") }

// copied reports whether a path, all links followed, leads onto a copy.
func (v *view) copied(path string) bool {
	real, err := filepath.EvalSymlinks(path)
	return err == nil && slices.ContainsFunc(v.look, func(l string) bool { return within(real, l) })
}

// find is the server's data folder as it will be told; empty if there is none,
// which is a problem.
func (v *view) find(r application.Recoverer) (string, error) {
	if data := v.w.req.Data; data != "" {
		if v.root != "" && !v.copied(data) {
			if err := v.reveal(data); err != nil {
				return "", err
			}
		}
		switch {
		case !v.copied(data):
			v.w.problem("the data folder %s lies on no copy", data)
			return "", nil
		case !r.Find(data):
			v.w.problem("%s is no data folder of %s", data, v.w.req.Application.Kind)
			return "", nil
		}
		return data, nil
	}
	var found []string
	for _, l := range v.look {
		found = append(found, v.search(l, r)...)
	}
	switch len(found) {
	case 0:
		v.w.problem("no data folder of %s is found on the copies", v.w.req.Application.Kind)
		return "", nil
	case 1:
	default:
		return "", fault.Input("recover.data", "is not given, and several are found: %s", shorten(strings.Join(found, ", ")))
	}
	data := found[0]
	if v.root != "" && within(data, v.root) {
		old := strings.TrimPrefix(data, v.root)
		return old, v.reveal(old)
	}
	return data, nil
}

// reveal lays a folder of the root's copy over the machine's own: the rest of
// the machine stays, whose programs are used.
func (v *view) reveal(path string) error {
	if fi, err := os.Stat(filepath.Join(v.root, path)); err != nil || !fi.IsDir() {
		return nil // then it lies on no copy
	}
	if err := v.over(v.root, path, path); err != nil {
		return err
	}
	v.look = append(v.look, path)
	return nil
}

// How far a data folder is looked for.
const (
	mostDepth   = 5
	mostFolders = 20_000
)

// search walks a copy, without what is mounted inside of it.
func (v *view) search(root string, r application.Recoverer) (found []string) {
	seen := 0
	filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // what cannot be read is not found
		}
		seen++
		rel, _ := filepath.Rel(root, path)
		switch {
		case seen > mostFolders:
			v.w.note("%s has too many folders to look into all of them: name the data folder", root)
			return fs.SkipAll
		case path != root && slices.Contains(v.look, path):
			return fs.SkipDir
		case r.Find(path):
			found = append(found, path)
			return fs.SkipDir
		case strings.Count(rel, "/") >= mostDepth-1:
			return fs.SkipDir
		}
		return nil
	})
	return found
}

// script runs the user's own check.
func (w *work) script(ctx context.Context, room, socket string) error {
	if w.req.Check == "" {
		return nil
	}
	tmp := filepath.Join(room, "check")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		return fault.Wrap(fault.Internal, err, "making a folder for the check")
	}
	// The recovery's own limit comes first, and is told as what it is.
	limit := time.Duration(w.req.TimeoutSeconds) * time.Second
	output := filepath.Join(room, "check.log")
	env := []string{"QUIESCE_AT=" + w.req.At, "TMPDIR=" + tmp}
	if socket != "" {
		env = append(env, "QUIESCE_SOCKET="+socket)
	}
	res, err := w.Scripts.Run(ctx, script.Call{Path: w.req.Check, RunID: w.run, Stage: "check", Timeout: limit, Output: output, Env: env, Alone: true})
	if fault.CodeOf(err) == fault.ScriptUnsafe {
		return &fault.Error{Code: fault.ScriptUnsafe, Field: "recover.check", Message: err.Error()}
	}
	w.reply.Script = &protocol.CheckedScript{Exit: res.ExitCode, TimedOut: res.TimedOut || ctx.Err() != nil, Ms: res.Ms, Output: end(output)}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err != nil {
		w.problem("the check failed: %v", err)
	}
	return nil
}

const mostOutput = 2000

// end is the end of a file.
func end(path string) string {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return ""
	}
	return strings.ToValidUTF8(strings.TrimSpace(string(text[max(0, len(text)-mostOutput):])), "?")
}
