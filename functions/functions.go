// Package functions is the one table of functions: every runtime serves these,
// and the workflow names no others.
package functions

import (
	"context"
	"io"
	"slices"
	"time"

	"github.com/quiesce/quiesce/functions/arrange"
	"github.com/quiesce/quiesce/functions/await"
	"github.com/quiesce/quiesce/functions/curate"
	"github.com/quiesce/quiesce/functions/dropshadows"
	"github.com/quiesce/quiesce/functions/freeze"
	"github.com/quiesce/quiesce/functions/makeshadows"
	"github.com/quiesce/quiesce/functions/pollstatus"
	"github.com/quiesce/quiesce/functions/precheck"
	"github.com/quiesce/quiesce/functions/prune"
	"github.com/quiesce/quiesce/functions/report"
	"github.com/quiesce/quiesce/functions/restorecreate"
	"github.com/quiesce/quiesce/functions/restoreimage"
	"github.com/quiesce/quiesce/functions/restoremove"
	"github.com/quiesce/quiesce/functions/restoreplan"
	"github.com/quiesce/quiesce/functions/restorepower"
	"github.com/quiesce/quiesce/functions/restorerecover"
	"github.com/quiesce/quiesce/functions/restorereport"
	"github.com/quiesce/quiesce/functions/restoresettle"
	"github.com/quiesce/quiesce/functions/runprescript"
	"github.com/quiesce/quiesce/functions/snapshot"
	"github.com/quiesce/quiesce/functions/startplugin"
	"github.com/quiesce/quiesce/functions/startvss"
	"github.com/quiesce/quiesce/functions/sweep"
	"github.com/quiesce/quiesce/functions/tag"
	"github.com/quiesce/quiesce/functions/targets"
	"github.com/quiesce/quiesce/functions/thaw"
	"github.com/quiesce/quiesce/functions/verifychoose"
	"github.com/quiesce/quiesce/functions/verifyclean"
	"github.com/quiesce/quiesce/functions/verifymark"
	"github.com/quiesce/quiesce/functions/verifyrecover"
	"github.com/quiesce/quiesce/functions/verifyreport"
	"github.com/quiesce/quiesce/functions/wake"
	"github.com/quiesce/quiesce/functions/watchplugin"
	"github.com/quiesce/quiesce/functions/watchvss"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/step"
	"github.com/quiesce/quiesce/shared/telemetry"
	"github.com/quiesce/quiesce/shared/verify"
)

// Deps is what the steps stand on. Metrics receives one line a metric set; nil
// is allowed. Keeper is for the functions that list all sets, of which one alone
// deletes, and Regions, the account in a Region by its name, for what is done
// with sets elsewhere; nil where there is none.
type Deps struct {
	Cloud   cloud.Provider
	Keeper  cloud.Keeper
	Regions func(name string) cloud.Region
	Metrics io.Writer
}

// Steps lists the functions that the workflow calls, in the order of a run.
var Steps = []string{"precheck", "run-prescript", "freeze", "snapshot", "thaw", "poll-status", "await", "tag"}

// PluginSteps lists the functions that the workflow of Alibaba Cloud calls
// besides.
var PluginSteps = []string{"start-plugin", "watch-plugin"}

// WindowsSteps lists the functions that the workflow of AWS calls besides, for
// instances that run Windows.
var WindowsSteps = []string{"start-vss", "watch-vss", "make-shadows", "drop-shadows"}

// FleetSteps lists the functions that the fleet's and the group's workflow call
// besides.
var FleetSteps = []string{"resolve-targets", "arrange", "report"}

// RestoreSteps lists the functions that the restore's workflow calls.
var RestoreSteps = []string{"restore-plan", "restore-create", "restore-image", "restore-move", "restore-recover", "restore-power", "restore-settle", "restore-report"}

// VerifySteps lists the functions that the workflow of a restore test calls
// besides those of a restore.
var VerifySteps = []string{"verify-choose", "verify-mark", "verify-recover", "verify-clean", "verify-report"}

// Listeners lists the functions that events start, and no workflow calls.
var Listeners = []string{"wake"}

// Chores lists the functions that a schedule of their own starts.
var Chores = []string{"prune", "curate"}

// FlowChores lists the functions that a timer starts on Alibaba Cloud.
var FlowChores = []string{"prune", "sweep"}

// Names lists every function, the steps first.
var Names = slices.Concat(Steps, WindowsSteps, FleetSteps, RestoreSteps, VerifySteps, Listeners, Chores)

// FlowNames lists every function of Alibaba Cloud, where nothing is curated.
var FlowNames = slices.Concat(Steps, PluginSteps, RestoreSteps, VerifySteps, Listeners, FlowChores)

// Timeouts is how long each function may run. The workflow's tasks wait a
// little longer, to hear the function's own answer.
var Timeouts = map[string]time.Duration{
	"precheck":      5 * time.Minute,
	"run-prescript": 15 * time.Minute,
	"freeze":        2 * time.Minute,
	"snapshot":      time.Minute,
	"thaw":          15 * time.Minute,
	"poll-status":   time.Minute,
	"await":         30 * time.Second,
	"tag":           time.Minute,
	"start-plugin":  time.Minute,
	"watch-plugin":  time.Minute,
	"start-vss":     time.Minute,
	"watch-vss":     time.Minute,
	"make-shadows":  12 * time.Minute,
	"drop-shadows":  12 * time.Minute,
	"wake":          30 * time.Second,

	"resolve-targets": 5 * time.Minute,
	"arrange":         30 * time.Second,
	"report":          5 * time.Minute,

	"prune":           15 * time.Minute,
	"curate":          10 * time.Minute,
	"sweep":           time.Minute,
	"restore-plan":    2 * time.Minute,
	"restore-create":  2 * time.Minute,
	"restore-image":   2 * time.Minute,
	"restore-move":    2 * time.Minute,
	"restore-power":   2 * time.Minute,
	"restore-recover": 2 * time.Minute,
	"restore-settle":  2 * time.Minute,
	"restore-report":  2 * time.Minute,
	"verify-choose":   2 * time.Minute,
	"verify-mark":     2 * time.Minute,
	"verify-recover":  2 * time.Minute,
	"verify-clean":    5 * time.Minute, // as a janitor it has nobody who asks again soon
	"verify-report":   2 * time.Minute,
}

// Table returns the handler of every function.
func Table(d Deps) map[string]step.Handler {
	c, m := d.Cloud, telemetry.NewMetrics(d.Metrics)
	watch := telemetry.Watch{Bus: c, Metrics: m}
	r, _ := c.(cloud.Restorer)
	return map[string]step.Handler{
		"precheck": watch.Published("precheck", step.New("precheck", func(ctx context.Context, in precheck.Input) (*run.Plan, error) {
			return precheck.Do(ctx, c, in)
		})),
		"run-prescript": watch.Deferred("run-prescript", step.New("run-prescript", func(ctx context.Context, in runprescript.Input) (*run.Prescript, error) {
			return runprescript.Do(ctx, c, m, in)
		})),
		"freeze": watch.Deferred("freeze", step.New("freeze", func(ctx context.Context, in freeze.Input) (*run.Freeze, error) {
			return freeze.Do(ctx, c, in)
		})),
		"snapshot": watch.Deferred("snapshot", step.New("snapshot", func(ctx context.Context, in snapshot.Input) (*run.Set, error) {
			return snapshot.Do(ctx, c, m, in)
		})),
		"thaw": watch.Published("thaw", step.New("thaw", func(ctx context.Context, in thaw.Input) (*run.Thaw, error) {
			return thaw.Do(ctx, c, m, in)
		})),
		"poll-status": watch.Published("poll-status", step.New("poll-status", func(ctx context.Context, in pollstatus.Input) (*run.Status, error) {
			return pollstatus.Do(ctx, c, in)
		})),
		"await": watch.Measured("await", step.New("await", func(ctx context.Context, in await.Input) (*await.Output, error) {
			return await.Do(ctx, c, in)
		})),
		"tag": watch.Published("tag", step.New("tag", func(ctx context.Context, in tag.Input) (*run.Verdict, error) {
			return tag.Do(ctx, c, m, in)
		})),
		"start-plugin": watch.Published("start-plugin", step.New("start-plugin", func(ctx context.Context, in startplugin.Input) (*run.Plugin, error) {
			p, err := tool(c)
			if err != nil {
				return nil, err
			}
			return startplugin.Do(ctx, p, in)
		})),
		"watch-plugin": watch.Published("watch-plugin", step.New("watch-plugin", func(ctx context.Context, in watchplugin.Input) (*run.Plugin, error) {
			p, err := tool(c)
			if err != nil {
				return nil, err
			}
			return watchplugin.Do(ctx, p, m, in)
		})),
		"start-vss": watch.Published("start-vss", step.New("start-vss", func(ctx context.Context, in startvss.Input) (*run.Plugin, error) {
			w, err := windows(c)
			if err != nil {
				return nil, err
			}
			return startvss.Do(ctx, w, in)
		})),
		"watch-vss": watch.Published("watch-vss", step.New("watch-vss", func(ctx context.Context, in watchvss.Input) (*run.Plugin, error) {
			w, err := windows(c)
			if err != nil {
				return nil, err
			}
			return watchvss.Do(ctx, w, m, in)
		})),
		"make-shadows": watch.Published("make-shadows", step.New("make-shadows", func(ctx context.Context, in makeshadows.Input) (*run.Plugin, error) {
			w, err := windows(c)
			if err != nil {
				return nil, err
			}
			return makeshadows.Do(ctx, w, in)
		})),
		"drop-shadows": watch.Published("drop-shadows", step.New("drop-shadows", func(ctx context.Context, in dropshadows.Input) (*dropshadows.Output, error) {
			w, err := windows(c)
			if err != nil {
				return nil, err
			}
			return dropshadows.Do(ctx, w, in)
		})),
		"resolve-targets": watch.Measured("resolve-targets", step.New("resolve-targets", func(ctx context.Context, in targets.Input) (*run.Targets, error) {
			return targets.Do(ctx, c, time.Now(), in)
		})),
		"arrange": watch.Measured("arrange", step.New("arrange", func(_ context.Context, in arrange.Input) (*run.Arrangement, error) {
			return arrange.Do(time.Now(), in)
		})),
		"report": watch.Measured("report", step.New("report", func(ctx context.Context, in report.Input) (*run.Report, error) {
			return report.Do(ctx, c, m, time.Now(), in)
		})),
		"restore-plan": watch.Measured("restore-plan", step.New("restore-plan", func(ctx context.Context, in restoreplan.Input) (*restore.Plan, error) {
			t, err := tester(c)
			if err != nil {
				return nil, err
			}
			return restoreplan.Do(ctx, t, in)
		})),
		"restore-create": watch.Measured("restore-create", step.New("restore-create", func(ctx context.Context, in restorecreate.Input) (*restore.Progress, error) {
			return restorecreate.Do(ctx, r, in)
		})),
		"restore-image": watch.Measured("restore-image", step.New("restore-image", func(ctx context.Context, in restoreimage.Input) (*restore.Progress, error) {
			return restoreimage.Do(ctx, r, in)
		})),
		"restore-move": watch.Measured("restore-move", step.New("restore-move", func(ctx context.Context, in restoremove.Input) (*restore.Progress, error) {
			return restoremove.Do(ctx, r, in)
		})),
		"restore-recover": watch.Measured("restore-recover", step.New("restore-recover", func(ctx context.Context, in restorerecover.Input) (*restore.Recovery, error) {
			t, err := tester(c)
			if err != nil {
				return nil, err
			}
			return restorerecover.Do(ctx, t, in)
		})),
		"restore-power": watch.Measured("restore-power", step.New("restore-power", func(ctx context.Context, in restorepower.Input) (*restore.Progress, error) {
			return restorepower.Do(ctx, r, in)
		})),
		"restore-settle": watch.Measured("restore-settle", step.New("restore-settle", func(ctx context.Context, in restoresettle.Input) (*restore.Progress, error) {
			return restoresettle.Do(ctx, r, in)
		})),
		"restore-report": watch.Measured("restore-report", step.New("restore-report", func(ctx context.Context, in restorereport.Input) (*restore.Verdict, error) {
			return restorereport.Do(ctx, r, c, m, in)
		})),
		"verify-choose": watch.Measured("verify-choose", step.New("verify-choose", func(ctx context.Context, in verifychoose.Input) (*verify.Choice, error) {
			t, err := tester(c)
			if err != nil {
				return nil, err
			}
			return verifychoose.Do(ctx, t, d.Keeper, in)
		})),
		"verify-mark": watch.Measured("verify-mark", step.New("verify-mark", func(ctx context.Context, in verifymark.Input) (*verify.Mark, error) {
			return verifymark.Do(ctx, c, in)
		})),
		"verify-recover": watch.Measured("verify-recover", step.New("verify-recover", func(ctx context.Context, in verifyrecover.Input) (*restore.Recovery, error) {
			t, err := tester(c)
			if err != nil {
				return nil, err
			}
			return verifyrecover.Do(ctx, t, in)
		})),
		"verify-clean": watch.Measured("verify-clean", step.New("verify-clean", func(ctx context.Context, in verifyclean.Input) (*restore.Progress, error) {
			t, err := tester(c)
			if err != nil {
				return nil, err
			}
			if !in.Sweep {
				return verifyclean.Do(ctx, t, d.Keeper, m, in)
			}
			tests, looks := c.(cloud.Tests)
			if !looks {
				return nil, fault.Input("sweep", "is true, and on this cloud events tell of the tests that broke off")
			}
			return verifyclean.Sweep(ctx, t, tests, d.Keeper, m)
		})),
		"verify-report": watch.Measured("verify-report", step.New("verify-report", func(ctx context.Context, in verifyreport.Input) (*verify.Verdict, error) {
			t, err := tester(c)
			if err != nil {
				return nil, err
			}
			return verifyreport.Do(ctx, t, m, in)
		})),
		"wake": step.Listener("wake", func(ctx context.Context, in wake.Event) (*wake.Output, error) {
			return wake.Do(ctx, c, in)
		}),
		"prune": watch.Measured("prune", step.New("prune", func(ctx context.Context, in prune.Input) (*prune.Report, error) {
			k := d.Keeper
			switch {
			case in.Request.Copies != nil && d.Regions == nil:
				return nil, fault.Input("request.copies", "is given, and nothing is copied on this cloud")
			case in.Request.Copies != nil:
				k = d.Regions(in.Request.Copies.Region)
			}
			return prune.Do(ctx, k, c, m, in)
		})),
		"sweep": step.New("sweep", func(ctx context.Context, in sweep.Input) (*sweep.Output, error) {
			s, ok := c.(cloud.Sweeper)
			if !ok {
				return nil, fault.Input("request", "events tell of stopped executions on this cloud: there is nothing to look for")
			}
			return sweep.Do(ctx, s, in)
		}),
		"curate": watch.Measured("curate", step.New("curate", func(ctx context.Context, in curate.Input) (*curate.Report, error) {
			if d.Regions == nil {
				return nil, fault.Input("request", "nothing is copied, shared or locked on this cloud")
			}
			return curate.Do(ctx, func(name string) cloud.Curator { return d.Regions(name) }, c, m, in)
		})),
	}
}

// tester is the provider as one that can restore what it has taken.
func tester(c cloud.Provider) (interface {
	cloud.Provider
	cloud.Restorer
}, error) {
	if t, ok := c.(interface {
		cloud.Provider
		cloud.Restorer
	}); ok {
		return t, nil
	}
	return nil, fault.Input("request", "there is no restore on this cloud yet")
}

// tool is the provider as one that has a plug-in.
func tool(c cloud.Provider) (interface {
	cloud.Agent
	cloud.Plugin
}, error) {
	if p, ok := c.(interface {
		cloud.Agent
		cloud.Plugin
	}); ok {
		return p, nil
	}
	return nil, fault.Input("policy.mode", "is plugin, which Alibaba Cloud alone has")
}

// windows is the provider as one whose Windows instances can be snapshotted.
func windows(c cloud.Provider) (interface {
	cloud.Provider
	cloud.Windows
}, error) {
	if w, ok := c.(interface {
		cloud.Provider
		cloud.Windows
	}); ok {
		return w, nil
	}
	return nil, fault.Input("policy.mode", "is for Windows on AWS, and this is another cloud")
}
