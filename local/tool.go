package local

import (
	"context"
	"fmt"
	"os"
	"syscall"

	"github.com/quiesce/quiesce/local/instance"
	"github.com/quiesce/quiesce/local/plugin"
)

// pluginRole is attached to the instance of a run in mode plugin.
const pluginRole = "quiesce-plugin"

// tool lets the stand-in for Alibaba Cloud's own tool work on a simulated
// machine.
func (s *simStage) tool() plugin.Host {
	return plugin.Host{
		Mounts: func() []string { return s.mounts },
		Runs:   s.sim.Has,
		Freeze: s.sim.Fsfreeze,
		Script: func(ctx context.Context, path string) int {
			code, _ := s.sim.Run(ctx, path)
			return code
		},
		Stat: func(path string) (string, bool) { return "0 700 " + path, s.sim.Has(path) },
	}
}

// tool lets it work on this host: on the volumes of the run, and on nothing
// else that is mounted here.
func (s *realStage) tool() plugin.Host {
	return plugin.Host{
		Mounts: func() []string { return s.mounts },
		Runs:   runnable,
		Script: func(ctx context.Context, path string) int {
			return s.host.Execute(ctx, instance.Command{Script: fmt.Sprintf("exec '%s'", path)}).ExitCode
		},
		Freeze: func(_ context.Context, mount string, freeze bool) error {
			if freeze {
				return freezer(mount, fifreeze)
			}
			return freezer(mount, fithaw)
		},
	}
}

// runnable is what the tool demands of a script: root's, of mode 700.
func runnable(path string) bool {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	owner, ok := info.Sys().(*syscall.Stat_t)
	return ok && owner.Uid == 0 && info.Mode().Perm() == 0o700 && info.Mode()&(os.ModeSetuid|os.ModeSetgid|os.ModeSticky) == 0
}
