package main

import (
	"fmt"
	"strings"

	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/restore"
)

// recoverFlags are of copies that come to life on the instance.
type recoverFlags struct {
	Recover     bool              `help:"With --mode volumes: check and mount the copies on the instance, and let their server recover on them."`
	At          string            `placeholder:"FOLDER" help:"Below it everything is mounted by its old path; by default /mnt/RESTORE."`
	Mount       map[string]string `placeholder:"OLD=NEW" help:"Another place, by the old mount point or the volume; repeatable."`
	Application string            `placeholder:"KIND" help:"The server that recovers, by default the set's own: mariadb, mysql, postgresql, redis; none only mounts."`
	Check       string            `placeholder:"PATH" help:"Your own check, on the instance; root's alone to write."`
	Timeout     int               `name:"timeout-minutes" placeholder:"N" help:"Of the recovery; by default 60, at most 240."`
}

// recovery is what is asked of the helper; nil for nothing. Whoever says where
// wants it, too.
func (f recoverFlags) recovery() *restore.Recover {
	if !f.Recover && f.At == "" && len(f.Mount) == 0 && f.Application == "" && f.Check == "" && f.Timeout == 0 {
		return nil
	}
	return &restore.Recover{At: f.At, Mounts: f.Mount, Application: f.Application, Check: f.Check, TimeoutMinutes: f.Timeout}
}

// showRecovery prints how the copies came to life.
func showRecovery(row func(what, said string), r *protocol.RecoverReply) {
	for _, f := range r.Filesystems {
		if f.Mount != "" {
			row("mounted", strings.TrimSuffix(fmt.Sprintf("%s (%s of %s) at %s, %s", f.Device, f.Type, f.Origin, f.Mount, f.Checked), ", "))
		}
	}
	if s := r.Server; s != nil && s.Started {
		row("server", fmt.Sprintf("%s recovered in %.1f s: %s", strings.TrimSpace(s.Kind+" "+s.Version), s.RecoveryMs/1000, s.Checked))
	}
	for _, p := range r.Problems {
		row("problem", p)
	}
	for _, n := range r.Notes {
		row("note", n)
	}
}
