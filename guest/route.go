//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/quiesce/quiesce/guest/linux"
	"github.com/quiesce/quiesce/guest/recovery"
	"github.com/quiesce/quiesce/guest/session"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	lockWait  = 30 * time.Second
	readyWait = 10 * time.Second
	liveWait  = 5 * time.Second
)

// router takes a request to the run's daemon while that lives, and deals with
// it here, from the records, when it does not.
type router struct{ dir string }

func (r *router) route(ctx context.Context, req protocol.Request) protocol.Reply {
	state, err := linux.OpenState(r.dir)
	if err != nil {
		return r.failed(req, err)
	}
	if req.Verb == protocol.Recover || req.Verb == protocol.Unmount {
		return newRecovery(state).Handle(ctx, req)
	}
	host := newHost(state)
	helper := session.New(host, session.Options{})
	if req.Verb == protocol.DryRun {
		return r.dryRun(ctx, state, helper, req)
	}
	for started := false; ; {
		reply, err := ask(ctx, state, req)
		if err == nil {
			if started {
				reply.Replayed = false // the daemon began with this very request
			}
			return reply
		}
		if !errors.Is(err, errNobody) {
			return r.failed(req, fault.Wrap(fault.Internal, err, "asking the daemon"))
		}
		reply, done := r.alone(ctx, state, helper, req)
		if done {
			return reply
		}
		if started {
			return r.failed(req, fault.New(fault.Internal, "the daemon does not answer"))
		}
		started = true
	}
}

// dryRun names a run as active only if somebody lives who holds it: what a
// dead one left is undone by the next begin.
func (r *router) dryRun(ctx context.Context, state linux.State, helper *session.Helper, req protocol.Request) protocol.Reply {
	reply := helper.Handle(ctx, req)
	if d := reply.DryRun; d != nil && d.ActiveRun != "" {
		if dead, err := state.Lock(linux.Living, 0); err == nil {
			dead()
			d.Warnings = append(d.Warnings, "run "+d.ActiveRun+" was left unfinished; the next begin undoes it")
			d.ActiveRun = ""
		}
	}
	return reply
}

// alone deals with a request that no daemon took. It returns false when there
// is one now.
func (r *router) alone(ctx context.Context, state linux.State, helper *session.Helper, req protocol.Request) (protocol.Reply, bool) {
	if req.Verb == protocol.Status {
		return helper.Handle(ctx, req), true
	}
	unlock, err := state.Lock(linux.Opening, lockWait)
	if err != nil {
		return r.failed(req, err), true
	}
	defer unlock()
	// Under the lock nobody else starts or recovers: look again.
	if reply, err := ask(ctx, state, req); err == nil {
		return reply, true
	}
	if reply, ok := helper.Recorded(req); ok {
		return reply, true
	}
	// A daemon that lives but does not listen is on its way in or out.
	dead, err := state.Lock(linux.Living, liveWait)
	if err != nil {
		return r.failed(req, err), true
	}
	if req.Verb != protocol.Begin {
		defer dead()
		return helper.Handle(ctx, req), true
	}
	err = session.Late(req, time.Now())
	if err == nil {
		err = helper.Recover(ctx, "")
	}
	dead()
	if err != nil {
		return r.failed(req, err), true
	}
	if reply, ok := helper.Recorded(req); ok { // it was this run's own leftover
		return reply, true
	}
	if err := startKeeper(state, req); err != nil {
		return r.failed(req, err), true
	}
	return protocol.Reply{}, false
}

func (r *router) failed(req protocol.Request, err error) protocol.Reply {
	return protocol.Reply{Version: protocol.Version, Verb: req.Verb, RunID: req.RunID, Now: time.Now().UTC(), Error: protocol.FailureOf(err)}
}

func newHost(state linux.State) *linux.Host {
	exe, _ := os.Readlink("/proc/self/exe")
	return &linux.Host{State: state, Exe: exe, Applications: applications}
}

func newRecovery(state linux.State) *recovery.Recovery {
	return &recovery.Recovery{State: state, Recoverers: recoverers}
}

var errNobody = errors.New("no daemon")

// ask sends a request to the daemon and waits for its reply.
func ask(ctx context.Context, state linux.State, req protocol.Request) (protocol.Reply, error) {
	var reply protocol.Reply
	path, done, err := socketPath(state)
	if err != nil {
		return reply, err
	}
	defer done()
	var d net.Dialer
	conn, err := d.DialContext(ctx, "unix", path)
	if err != nil {
		return reply, errNobody
	}
	defer conn.Close()
	raw, err := json.Marshal(req)
	if err != nil {
		return reply, err
	}
	if _, err := conn.Write(append(raw, '\n')); err != nil {
		return reply, errNobody
	}
	raw, err = io.ReadAll(conn)
	if err != nil || len(raw) == 0 {
		return reply, errNobody // it died or was about to go
	}
	return reply, json.Unmarshal(raw, &reply)
}

// socketPath names the socket through a descriptor of its folder: a socket's
// path is short, a folder's may be long.
func socketPath(state linux.State) (string, func(), error) {
	dir, err := os.Open(state.Dir)
	if err != nil {
		return "", nil, err
	}
	return filepath.Join(fmt.Sprintf("/proc/self/fd/%d", dir.Fd()), "socket"), func() { dir.Close() }, nil
}
