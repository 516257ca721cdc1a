package precheck

import (
	"fmt"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

const kindField = "policy.application.kind"

// discovered enters into the plan which servers run, and decides for kind auto
// which of them is held: the only one with files on the set's volumes. Without
// one there is nothing to hold, and the plan's kind is none, so that no more is
// asked for than can be had. One that cannot be held stays auto, which the
// quiesce then fails of. Of several none is guessed.
func discovered(plan *run.Plan, instance cloud.Instance, seen *protocol.DryRunReply) error {
	where := atlasOf(instance, seen.Mounts)
	in := func(f protocol.Found) bool {
		for _, folder := range f.Folders {
			for _, m := range seen.Mounts {
				for _, id := range where.Volumes(m) {
					if m.Device == folder.Device && slices.ContainsFunc(plan.Volumes, func(v run.Volume) bool { return v.ID == id }) {
						return true
					}
				}
			}
		}
		return false
	}
	var candidates []int
	for i, f := range seen.Found {
		s := run.Server{Kind: f.Kind, Program: f.Program, PID: f.PID, Socket: f.Socket, OnSet: in(f), Why: "its files lie on no volume of the set"}
		for _, folder := range f.Folders {
			s.Folders = append(s.Folders, folder.Path)
		}
		if f.Server != nil {
			s.Version = f.Server.Version
		}
		if s.OnSet {
			s.Why = "the policy's kind is " + plan.Policy.Application.Kind
			candidates = append(candidates, i)
		}
		plan.Servers = append(plan.Servers, s)
	}
	switch app := plan.Policy.Application; app.Kind {
	case policy.Auto:
		return pick(plan, seen, candidates)
	case policy.Script, policy.ByDocument:
		return nil // which of them they hold is theirs to know
	default:
		leftOut(plan, candidates)
		return nil
	}
}

// pick is kind auto's choice.
func pick(plan *run.Plan, seen *protocol.DryRunReply, candidates []int) error {
	app := &plan.Policy.Application
	if seen.Untold > 0 {
		return fault.Input(kindField, "is auto, and %d servers run here, too many to choose of: name the kind and the socket", len(seen.Found)+seen.Untold)
	}
	if app.Socket != "" {
		all := candidates
		candidates = slices.DeleteFunc(slices.Clone(all), func(i int) bool { return seen.Found[i].Socket != app.Socket })
		if len(candidates) == 0 {
			return fault.Input("policy.application.socket", "names %s, where none of the servers on the set's volumes listens%s", app.Socket, listed(plan, all))
		}
		for _, i := range all {
			plan.Servers[i].Why = "it does not listen at the policy's socket"
		}
	}
	switch len(candidates) {
	case 0:
		app.Kind, app.Socket, app.OptionFile = policy.None, "", ""
		unlocked(app)
		plan.Warnings = append(plan.Warnings, "no database server was found on the set's volumes: filesystems are frozen, nothing else is held")
		return nil
	case 1:
	default:
		return fault.Input(kindField, "is auto, and several servers have files on the set's volumes: name the kind and the socket of one, or hold them all by scripts%s", listed(plan, candidates))
	}
	chosen, server := seen.Found[candidates[0]], &plan.Servers[candidates[0]]
	if why := unreachable(chosen); why != "" {
		server.Why = "cannot be held: " + why
		sentence := fmt.Sprintf("%s, process %d, has files in %s on the set's volumes and %s", server.Program, server.PID, strings.Join(server.Folders, ", "), server.Why)
		if plan.Policy.OnFailure == policy.Fail {
			return fault.New(fault.ApplicationRefused, "%s", sentence)
		}
		plan.Warnings = append(plan.Warnings, sentence)
		return nil
	}
	server.Picked, server.Why = true, "it is the only server with files on the set's volumes"
	app.Kind, app.Socket = chosen.Kind, chosen.Socket
	if app.Kind != policy.MariaDB && app.Kind != policy.MySQL {
		unlocked(app)
	}
	seen.Server, seen.NoServer = chosen.Server, chosen.NoServer
	return nil
}

// unreachable tells why a server can never be held as things are, empty if it
// may be: one that merely did not answer may do so when it is quiesced.
func unreachable(f protocol.Found) string {
	kind := policy.Application{Kind: f.Kind}
	switch {
	case f.Apart != "":
		return f.Apart
	case f.NoServer != nil && (f.NoServer.Code == fault.InvalidInput || !kind.Server()):
		return f.NoServer.Message
	case f.Server == nil && f.NoServer == nil:
		return "nobody asked it"
	}
	return ""
}

// unlocked takes away the limits of a lock that a kind does not have.
func unlocked(app *policy.Application) {
	app.FTWRLWaitTimeout, app.FTWRLWaitThreshold, app.FTWRLWaitQueryType = 0, 0, ""
	app.KillLongQueriesTimeout, app.KillLongQueryType = 0, ""
}

// listed are servers for a sentence.
func listed(plan *run.Plan, which []int) string {
	var list []string
	for _, i := range which {
		s := plan.Servers[i]
		at := "no socket that can be reached"
		if s.Socket != "" {
			at = "socket " + s.Socket
		}
		list = append(list, fmt.Sprintf("%s (process %d, data in %s, %s)", s.Kind, s.PID, strings.Join(s.Folders, ", "), at))
	}
	if len(list) == 0 {
		return ""
	}
	return ": " + strings.Join(list, "; ")
}

// leftOut warns of each server on the set's volumes that the policy's kind does
// not hold. Which of several of one kind is meant, only its socket tells.
func leftOut(plan *run.Plan, candidates []int) {
	app := plan.Policy.Application
	of := func(s run.Server) bool {
		return s.Kind == app.Kind || s.Kind == policy.MySQL && app.Kind == policy.MariaDB // by its old name
	}
	var same []int
	for _, i := range candidates {
		switch s := &plan.Servers[i]; {
		case of(*s) && (app.Socket == "" || s.Socket == app.Socket):
			s.Why = "it is of the policy's kind"
			same = append(same, i)
		case app.Kind == policy.None:
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("%s, process %d, has files in %s on the set's volumes and is not quiesced: application.kind %s or auto would have it held",
				s.Program, s.PID, strings.Join(s.Folders, ", "), s.Kind))
		default:
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("%s, process %d, has files in %s on the set's volumes and is not quiesced: %s",
				s.Program, s.PID, strings.Join(s.Folders, ", "), s.Why))
		}
	}
	if len(same) > 1 {
		plan.Warnings = append(plan.Warnings, "only one of several servers is quiesced, name its socket"+listed(plan, same))
	}
}
