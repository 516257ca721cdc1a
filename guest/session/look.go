package session

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
)

const (
	// lookBudget is how long a server may take to say who it is, and looksBudget
	// how long all of them may.
	lookBudget  = 10 * time.Second
	looksBudget = 30 * time.Second

	ordinary = 1000 // the first account that a person may have
)

// look asks an application's adapter for the server; nothing is journaled,
// because nothing is changed.
func (h *Helper) look(ctx context.Context, app protocol.Application) (protocol.Server, error) {
	ctx, cancel := context.WithTimeout(ctx, lookBudget)
	defer cancel()
	adapter, err := h.host.Application(app, func([]byte) error { return nil })
	if err != nil {
		return protocol.Server{}, err
	}
	return adapter.Look(ctx)
}

// lookAtAll asks each server that was found and can be spoken to, by the way
// that its own process listens at.
func (h *Helper) lookAtAll(ctx context.Context, app protocol.Application, found []protocol.Found) {
	ctx, cancel := context.WithTimeout(ctx, looksBudget)
	defer cancel()
	for i := range found {
		f := &found[i]
		if f.Apart != "" || app.Socket != "" && app.Socket != f.Socket {
			continue
		}
		server, err := h.lookAt(ctx, app, *f)
		if err != nil {
			f.NoServer = protocol.FailureOf(err)
			continue
		}
		f.Kind, f.Server = server.Kind, &server
	}
}

// lookAt asks one of them. Where no socket was found for it something else may
// answer, hence it must name the files that were.
func (h *Helper) lookAt(ctx context.Context, app protocol.Application, f protocol.Found) (protocol.Server, error) {
	if app.OptionFile != "" && f.UID >= ordinary {
		return protocol.Server{}, fault.New(fault.ApplicationRefused,
			"%s, process %d, runs under the ordinary account %d, which is not to see what an option file holds: name its kind and socket", f.Program, f.PID, f.UID)
	}
	app.Socket = f.Socket
	var server protocol.Server
	var err error
	for _, kind := range alike(f.Kind) {
		app.Kind = kind
		seen, failure := h.look(ctx, app)
		if failure == nil {
			server, err = seen, nil
			break
		}
		if err == nil || fault.CodeOf(err) == fault.InvalidInput {
			err = failure // an adapter's own says more than that there is none
		}
	}
	switch {
	case fault.CodeOf(err) == fault.InvalidInput:
		return server, fault.Input("application.kind", "is %s, which this helper cannot hold", f.Kind)
	case err != nil:
		return server, err
	case f.Socket == "" && !slices.ContainsFunc(f.Folders, func(at protocol.Folder) bool { return slices.Contains(server.Dirs, at.Path) }):
		return server, fault.New(fault.ApplicationRefused, "%s, process %d, has no socket, and what answers at the usual place keeps its files in %s",
			f.Program, f.PID, fmt.Sprint(server.Dirs))
	}
	return server, nil
}

// alike are the kinds that a program's name may stand for: MariaDB's was once
// that of MySQL's.
func alike(kind string) []string {
	if kind == "mysql" {
		return []string{"mariadb", "mysql"}
	}
	return []string{kind}
}
