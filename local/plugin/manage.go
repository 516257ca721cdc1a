package plugin

import (
	"context"
	"slices"
	"time"
)

// manage is one command from its first line to its exit code. What is planned
// to go wrong goes wrong where the documented code says that it does.
func (m *Machine) manage(ctx context.Context, script string) *result {
	r := &result{}
	planned, degrade := m.Faults.Plugin()
	c, err := read(script)
	switch attached := m.Account.Role(m.ID); {
	case err != nil:
		return r.end(2, "%v", err)
	case planned >= 1 && planned <= 4, planned == 13, planned == 14, planned == 16, planned == 255:
		return r.end(planned, "planned")
	case attached == "":
		return r.end(13, "no RAM role is attached to the instance")
	case attached != c.role:
		return r.end(1, "the role %s is not attached", c.role)
	}
	application := m.quiesce(ctx, r, c, degrade)
	if planned == 9 {
		return r.end(9, "planned: a script could not be executed")
	}
	held, ok := m.freeze(ctx, c, planned == 11)
	if !ok {
		m.release(ctx, c, application)
		return r.end(11, "the freeze failed")
	}
	id, members, err := m.Account.Group(ctx, m.ID, c.name, c.exclude)
	if planned == 12 { // its own timer lets go in the end
		r.group(id)
		return r.end(12, "planned: the thaw failed")
	}
	held.thaw()
	released := m.release(ctx, c, application)
	switch {
	case err != nil && id != "":
		r.group(id)
		return r.end(5, "the group cannot be read: %v", err)
	case err != nil:
		return r.end(4, "%v", err)
	case planned == 10 || !released:
		r.group(id)
		return r.end(10, "the post-script could not be executed")
	case planned >= 5 && planned <= 8, planned == 15:
		r.group(id)
		return r.end(planned, "planned")
	}
	return m.label(ctx, r, c, id, members, application)
}

// quiesce runs the pre-script, or on Windows the writers. A script that the
// tool would not run costs the application's consistency and is no failure.
func (m *Machine) quiesce(ctx context.Context, r *result, c call, degrade bool) bool {
	switch {
	case degrade:
		return false
	case c.windows:
		return c.writers
	case !m.Host.Runs(c.pre) || !m.Host.Runs(c.post):
		r.say("warning", "%s or %s is not there, not root's or not of mode 700", c.pre, c.post)
		return false
	}
	return m.Host.Script(ctx, c.pre) == 0
}

// release runs the post-script of what was quiesced.
func (m *Machine) release(ctx context.Context, c call, application bool) bool {
	return !application || c.windows || m.Host.Script(ctx, c.post) == 0
}

// hold is what the tool has frozen, and its timer that lets go of it.
type hold struct {
	thaw  func()
	timer *time.Timer
}

// freeze holds every mount, or none of them, for no longer than it is told.
func (m *Machine) freeze(ctx context.Context, c call, fails bool) (*hold, bool) {
	if c.windows || !c.freeze {
		return &hold{thaw: func() {}}, !fails
	}
	var frozen []string
	later := context.WithoutCancel(ctx)
	undo := func() {
		for _, mount := range slices.Backward(frozen) {
			_ = m.Host.Freeze(later, mount, false) // refused if somebody else has let go
		}
	}
	for _, mount := range m.Host.Mounts() {
		if fails || m.Host.Freeze(ctx, mount, true) != nil {
			undo()
			return nil, false
		}
		frozen = append(frozen, mount)
	}
	h := &hold{timer: time.AfterFunc(time.Duration(c.seconds)*time.Second, undo)}
	h.thaw = func() {
		if h.timer.Stop() {
			undo()
		}
	}
	return h, true
}

// label writes what was reached on every snapshot.
func (m *Machine) label(ctx context.Context, r *result, c call, id string, members []string, application bool) *result {
	key := "FsConsistent"
	switch {
	case application:
		key = "AppConsistent"
		if c.windows {
			key = "APPConsistent"
		}
	case !c.windows && !c.freeze:
		key = ""
	}
	r.group(id)
	if key != "" {
		if err := m.Account.Write(ctx, members, key, "True"); err != nil {
			return r.end(8, "%v", err)
		}
	}
	r.say("info", "Finish whole Processes of Snapshot successfully")
	return r
}

func (r *result) group(id string) {
	r.log.WriteString(`[snapshotgroup="` + id + `"]`)
}
