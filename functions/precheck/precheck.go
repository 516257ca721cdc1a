// Package precheck decides what a run will do and refuses it if it cannot be
// done, before anything on the instance is touched.
package precheck

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"sort"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/atlas"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/helper"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the execution's name and what it was started with.
type Input struct {
	Run     run.Run     `json:"run"`
	Request run.Request `json:"request"`
}

// Cloud is what precheck asks of a provider.
type Cloud interface {
	cloud.Disks
	cloud.Agent
	cloud.Assets
}

// stale is when a heartbeat is too old to trust: agents report every five
// minutes, and the dry run is the real test.
const stale = 15 * time.Minute

// The document of an execution holds 256 KiB, and on Alibaba Cloud 64; it must
// have room for every step's answer and failure: past it no Catch can write,
// hence nothing thaws.
const (
	maxPolicy = 48 << 10
	maxPlan   = 112 << 10

	maxFlowPlan = 24 << 10
)

var (
	runID      = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)
	instanceID = regexp.MustCompile(`^i-[0-9a-z]{8,32}$`)
)

// Check refuses a malformed request by the name of its field.
func Check(in Input) error {
	switch {
	case in.Request.InstanceID == "":
		return fault.Input("instanceId", "is missing")
	case !instanceID.MatchString(in.Request.InstanceID):
		return fault.Input("instanceId", "wants an instance id such as i-0abc12345678def90, got %q", in.Request.InstanceID)
	case !runID.MatchString(in.Run.ID):
		return fault.Input("run.id", "wants 1-80 letters, digits, dashes or underscores, got %q", in.Run.ID)
	}
	p := in.Request.Policy.WithDefaults()
	if text, err := json.Marshal(p); err != nil || len(text) > maxPolicy {
		return fault.Input("policy", "wants at most %d bytes, got %d", maxPolicy, len(text))
	}
	return p.Check()
}

// Do makes the plan. Codes: InvalidInput, Instance*, AgentOffline,
// HelperNotDelivered, RunInProgress, ScriptUnsafe, Application*, Vss*,
// SnapshotTooSoon, NothingToSnapshot, Volume*, and what the calls themselves
// return.
func Do(ctx context.Context, c Cloud, in Input) (*run.Plan, error) {
	started := time.Now()
	if err := Check(in); err != nil {
		return nil, err
	}
	p := in.Request.Policy.WithDefaults()
	instance, err := c.Instance(ctx, in.Request.InstanceID)
	if err != nil {
		return nil, err
	}
	if !instance.Running {
		return nil, fault.New(fault.InstanceNotRunning, "%s is %s", instance.ID, instance.State)
	}
	if instance.Tags[p.OptIn.Key] != p.OptIn.Value {
		return nil, fault.New(fault.InstanceNotOptedIn, "%s does not carry the tag %s=%s", instance.ID, p.OptIn.Key, p.OptIn.Value)
	}
	for _, v := range instance.Volumes {
		if by := v.Tags[cloud.TagReplaced]; by != "" {
			return nil, fault.New(fault.RunInProgress, "%s is about to be replaced by the restore %s", v.ID, by)
		}
	}
	if in.Run.StartedAt.IsZero() { // a flow on Alibaba Cloud does not know when it began
		in.Run.StartedAt = started
	}
	p.Tags = policy.Expand(p.Tags, policy.Variables{InstanceID: instance.ID, RunID: in.Run.ID, Policy: p.Name, Time: in.Run.StartedAt})
	plan := &run.Plan{RunID: in.Run.ID, Target: instance.Target, Policy: p, Filesystems: []protocol.Filesystem{}}
	if err := volumes(plan, instance); err != nil {
		return nil, err
	}
	if err := spacing(ctx, c, plan, instance); err != nil {
		return nil, err
	}
	switch {
	case p.Mode == policy.Plugin:
		if err := tool(ctx, c, plan, instance); err != nil {
			return nil, err
		}
	case p.Mode.Windows():
		if err := windows(ctx, c, plan, instance); err != nil {
			return nil, err
		}
	case p.Application.Kind != policy.None || p.Freeze.Enabled:
		if err := machine(ctx, c, plan, instance); err != nil {
			return nil, err
		}
	}
	plan.Record = run.Record{StartedAt: started, EndedAt: time.Now()}
	return plan, room(plan)
}

// room refuses a plan that would leave too little for what comes after.
func room(plan *run.Plan) error {
	most := maxPlan
	if plan.Target.Provider == run.Aliyun {
		most = maxFlowPlan
		if text, err := json.Marshal(plan.Policy); err != nil || len(text) > policy.FlowRoom {
			return fault.Input("policy", "wants at most %d bytes on Alibaba Cloud, got %d", policy.FlowRoom, len(text))
		}
	}
	if text, err := json.Marshal(plan); err != nil || len(text) > most {
		return fault.Input("instanceId", "names an instance whose plan is too large for an execution (%d bytes of %d)", len(text), most)
	}
	return nil
}

// volumes picks the set's members.
func volumes(plan *run.Plan, instance cloud.Instance) error {
	exclude := plan.Policy.Volumes
	named := map[string]bool{}
	for _, id := range exclude.ExcludeIDs {
		named[id] = true
	}
	for _, v := range instance.Volumes {
		if v.Boot {
			plan.Boot = v.ID
		}
		left := v.Boot && exclude.ExcludeBoot || named[v.ID] || tagged(v.Tags, exclude.ExcludeTags)
		delete(named, v.ID)
		switch {
		case left:
			plan.Excluded = append(plan.Excluded, v.ID)
		case v.Unsupported != "":
			return fault.New(fault.VolumeUnsupported, "%s: %s", v.ID, v.Unsupported)
		default:
			plan.Volumes = append(plan.Volumes, attached(v))
		}
	}
	for id := range named {
		return fault.Input("policy.volumes.excludeIds", "names %s, which is not attached to %s", id, instance.ID)
	}
	if len(plan.Volumes) == 0 {
		return fault.New(fault.NothingToSnapshot, "%s has %d volumes and the policy leaves all of them out", instance.ID, len(instance.Volumes))
	}
	return nil
}

// atlasOf covers all of the instance's volumes, those that the set leaves out
// too: a mount that lies on both is refused.
func atlasOf(instance cloud.Instance, mounts []protocol.Mount) atlas.Atlas {
	all := make([]run.Volume, len(instance.Volumes))
	for i, v := range instance.Volumes {
		all[i] = attached(v)
	}
	return atlas.New(all, mounts)
}

func attached(v cloud.Volume) run.Volume {
	return run.Volume{ID: v.ID, Device: v.Device, Serials: v.Serials, SizeGiB: v.SizeGiB}
}

func tagged(tags, any map[string]string) bool {
	for k, want := range any {
		if got, ok := tags[k]; ok && (want == "" || want == got) {
			return true
		}
	}
	return false
}

// spacing refuses a run whose snapshot call the provider would refuse, because
// finding that out inside the window would have cost a freeze.
func spacing(ctx context.Context, c Cloud, plan *run.Plan, instance cloud.Instance) error {
	ids := make([]string, len(plan.Volumes))
	for i, v := range plan.Volumes {
		ids[i] = v.ID
	}
	pending, err := c.Pending(ctx, ids)
	if err != nil {
		return err
	}
	for _, v := range instance.Volumes {
		if n := pending[v.ID]; v.Concurrent > 0 && n >= v.Concurrent {
			return fault.New(fault.SnapshotTooSoon, "%s has %d snapshots in progress, of %d allowed", v.ID, n, v.Concurrent)
		}
	}
	return nil
}

// machine looks at the instance from the inside: the helper is delivered and
// asked what it would freeze.
func machine(ctx context.Context, c Cloud, plan *run.Plan, instance cloud.Instance) error {
	ping, err := c.Ping(ctx, instance.ID)
	if err != nil {
		return err
	}
	if !ping.Online || time.Since(ping.Last) > stale {
		return fault.New(fault.AgentOffline, "the agent of %s was last heard of at %s", instance.ID, ping.Last.UTC().Format(time.RFC3339))
	}
	if err := documented(ctx, c, plan); err != nil {
		return err
	}
	asset, err := c.Helper(ctx, instance.Arch)
	if err != nil {
		return err
	}
	plan.Helper = run.Helper{SHA256: asset.SHA256, Arch: instance.Arch}
	p := plan.Policy
	ask := &protocol.DryRunRequest{AllowRoot: p.Freeze.Root == policy.Allow, Discover: true}
	if p.Application.Kind == policy.Script {
		ask.Scripts = []string{p.Application.PreScript, p.Application.PostScript}
	}
	if p.Application.Server() || p.Application.Kind == policy.Auto {
		app := plan.Application()
		ask.Application = &app
	}
	reply, err := helper.Ask(ctx, c, helper.Call{
		InstanceID: instance.ID,
		Asset:      asset,
		Execution:  60 * time.Second,
		Request:    protocol.Request{Verb: protocol.DryRun, RunID: plan.RunID, DryRun: ask},
	})
	answered := time.Now()
	if err != nil {
		return script(err)
	}
	seen := reply.DryRun
	switch {
	case seen == nil:
		return fault.New(fault.CommandFailed, "the helper on %s answered the dry run with nothing", instance.ID)
	case seen.ActiveRun != "" && seen.ActiveRun != plan.RunID:
		return fault.New(fault.RunInProgress, "%s is held by the run %s", instance.ID, seen.ActiveRun)
	}
	plan.ClockSkewMs = reply.Now.Sub(answered).Milliseconds()
	plan.Warnings = append(plan.Warnings, seen.Warnings...)
	if err := discovered(plan, instance, seen); err != nil {
		return err
	}
	if err := server(plan, instance, seen); err != nil {
		return err
	}
	plan.Known = seen.Devices
	return filesystems(plan, instance, seen.Mounts)
}

// script gives the helper's answer about a script the policy's field name.
func script(err error) error {
	f, ok := err.(*fault.Error)
	if !ok {
		return err
	}
	for at, field := range map[string]string{"scripts[0]": "policy.application.preScript", "scripts[1]": "policy.application.postScript"} {
		if strings.HasSuffix(f.Field, at) {
			return &fault.Error{Code: f.Code, Field: field, Message: f.Message, Cause: f.Cause}
		}
	}
	return err
}

// filesystems finds what must be frozen: every filesystem on a volume of the
// set, or those of them that the policy names.
func filesystems(plan *run.Plan, instance cloud.Instance, mounts []protocol.Mount) error {
	in := map[string]bool{}
	for _, v := range plan.Volumes {
		in[v.ID] = true
	}
	where := atlasOf(instance, mounts)
	asked := map[string]bool{}
	for _, m := range plan.Policy.Freeze.Mounts {
		asked[m] = true
	}
	used := map[string]bool{}
	places := map[string][]protocol.Place{}
	for _, m := range mounts {
		var inside, outside []string
		for _, id := range where.Volumes(m) {
			used[id] = true
			if m.On == "" {
				places[id] = append(places[id], protocol.Place{Part: m.Part, Type: m.Type, Path: m.Mount})
			}
			if in[id] {
				inside = append(inside, id)
			} else {
				outside = append(outside, id)
			}
		}
		wanted := len(plan.Policy.Freeze.Mounts) == 0 || asked[m.Mount]
		delete(asked, m.Mount)
		for _, b := range m.Binds {
			wanted = wanted || asked[b]
			delete(asked, b)
		}
		switch {
		case len(inside) == 0:
			if wanted && len(plan.Policy.Freeze.Mounts) > 0 {
				return fault.New(fault.VolumeUnresolved, "%s is on no volume of the set", m.Mount)
			}
		case len(outside) > 0:
			return fault.New(fault.VolumeUnresolved, "%s lies on %s, which the set leaves out, and on %s, which it holds", m.Mount, strings.Join(outside, ", "), strings.Join(inside, ", "))
		case m.ReadOnly:
		case !wanted || !plan.Policy.Freeze.Enabled:
			plan.Unfrozen = append(plan.Unfrozen, m.Mount)
		case m.Refused != "" && m.Mount == "/":
			plan.Unfrozen = append(plan.Unfrozen, m.Mount)
			plan.Warnings = append(plan.Warnings, "the root filesystem stays writable: "+m.Refused)
		case m.Refused != "":
			return fault.New(fault.FreezeRefused, "%s: %s", m.Mount, m.Refused)
		default:
			plan.Filesystems = append(plan.Filesystems, protocol.Filesystem{Mount: m.Mount, Device: m.Device})
		}
	}
	for m := range asked {
		return fault.Input("policy.freeze.mounts", "names %s, where nothing is mounted that can be frozen", m)
	}
	most := cloud.TagRoom(plan.Target.Provider)
	for i, v := range plan.Volumes {
		plan.Volumes[i].Mounts = atlas.PlacesTag(places[v.ID], most)
		if !used[v.ID] {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("%s holds no mounted filesystem", v.ID))
		}
	}
	sort.Slice(plan.Filesystems, func(i, j int) bool { return plan.Filesystems[i].Mount < plan.Filesystems[j].Mount })
	return nil
}
