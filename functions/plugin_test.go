package functions_test

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/plugin"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/workflow"
	"github.com/quiesce/quiesce/workflow/asl"
)

// aliyun is a fake cloud with a plug-in: attempts are answered in their order,
// the last one for ever.
type aliyun struct {
	*fakeCloud
	results []cloud.Result
	groups  map[string]*cloud.Group // by name or id
	role    string
	look    string // the answer about the scripts
	refuses error  // of the dry run

	runs []cloud.Shell
}

const aliyunID = "i-bp1aaaaaaaaaaaaaaaa1"

func newAliyun() *aliyun {
	c := &aliyun{fakeCloud: newCloud(), role: "Snapshotter", groups: map[string]*cloud.Group{}}
	c.instance.ID = aliyunID
	c.instance.Target = run.Target{Provider: run.Aliyun, Region: "cn-hangzhou", InstanceID: aliyunID}
	c.instance.System = "CentOS  7.9 64 bit"
	c.instance.Volumes = []cloud.Volume{
		{ID: "d-bp1boot00000000", Boot: true, SizeGiB: 40}, {ID: "d-bp1aaaaaaaaaaaa", SizeGiB: 100}, {ID: "d-bp1bbbbbbbbbbbb", SizeGiB: 100},
	}
	c.look = "0 700 /opt/pre.sh\n0 700 /opt/post.sh\n"
	c.snapshots = func(ids []string) (list []run.Snapshot, err error) {
		for _, id := range ids {
			list = append(list, run.Snapshot{ID: id, VolumeID: "d-bp1" + strings.Repeat(id[len(id)-1:], 12), State: run.Completed})
		}
		return list, nil
	}
	return c
}

func (c *aliyun) Run(_ context.Context, s cloud.Shell) (string, error) {
	if s.DryRun {
		return "", c.refuses
	}
	c.runs = append(c.runs, s)
	if strings.HasPrefix(s.Content, "stat ") {
		return "look", nil
	}
	return fmt.Sprintf("t-%d", len(c.sentPlugins())-1), nil
}

// sentPlugins are the plug-in's own commands.
func (c *aliyun) sentPlugins() []cloud.Shell {
	return slices.DeleteFunc(slices.Clone(c.runs), func(s cloud.Shell) bool { return strings.HasPrefix(s.Content, "stat ") })
}

func (c *aliyun) Result(_ context.Context, _, id string) (cloud.Result, error) {
	if id == "look" {
		return cloud.Result{Done: true, Status: "Success", Stdout: c.look}, nil
	}
	var n int
	_, err := fmt.Sscanf(id, "t-%d", &n)
	return c.results[min(n, len(c.results)-1)], err
}

func (c *aliyun) Group(_ context.Context, id, _, name string) (*cloud.Group, error) {
	if g := c.groups[id]; g != nil {
		return g, nil
	}
	return c.groups[name], nil
}

func (c *aliyun) Named(_ context.Context, _, name string) (list []cloud.Group, err error) {
	if g := c.groups[name]; g != nil {
		list = append(list, *g)
	}
	return list, nil
}

func (c *aliyun) Role(context.Context, string) (string, error) { return c.role, nil }

// makes lets a group exist with these tags on each of its snapshots.
func (c *aliyun) makes(tags map[string]string) {
	g := &cloud.Group{ID: "ssg-bp1cccc"}
	for _, m := range []string{"a", "b"} {
		g.Members = append(g.Members, cloud.TaggedSnapshot{Snapshot: run.Snapshot{ID: "s-bp1" + m, VolumeID: "d-bp1" + strings.Repeat(m, 12), State: run.Pending}, Tags: tags})
	}
	c.groups[g.ID], c.groups["quiesce-run-1"] = g, g
}

const pluginRequest = `{"instanceId":"` + aliyunID + `","policy":{"name":"gold","mode":"plugin","ramRole":"Snapshotter","application":{"kind":"script","preScript":"/opt/pre.sh","postScript":"/opt/post.sh"}}}`

// exited is the end of a command as Cloud Assistant tells it.
func exited(code int, output string) cloud.Result {
	status := "Success"
	if code != 0 {
		status = "Failed (ExitCodeNonzero)"
	}
	return cloud.Result{Done: true, Status: status, ExitCode: code, Stdout: output}
}

var flowMachine = sync.OnceValues(func() (*asl.Machine, error) {
	return workflow.FlowMachine("quiesce", func(step string) string { return "acs:fc:::functions/" + step })
})

// flow runs the whole machine over the fake cloud.
func flow(t *testing.T, c *aliyun, request string) (s run.State, states []string, end string) {
	t.Helper()
	m, err := flowMachine()
	if err != nil {
		t.Fatal(err)
	}
	table := functions.Table(functions.Deps{Cloud: c})
	var last json.RawMessage
	_, err = m.Run(t.Context(), asl.Execution{
		Name: "run-1", Input: json.RawMessage(request),
		Tasks: asl.TasksFunc(func(ctx context.Context, resource string, input json.RawMessage) (json.RawMessage, error) {
			out, err := table[strings.TrimPrefix(resource, "acs:fc:::functions/")](ctx, input)
			if err != nil {
				return nil, &asl.Error{Name: string(fault.CodeOf(err)), Cause: err.Error()}
			}
			return out, nil
		}),
		Observe: func(e asl.Event) {
			if strings.HasSuffix(e.Type, "StateEntered") {
				states, last = append(states, e.Name), e.Input
			}
		},
	})
	var failed *asl.Failure
	if errors.As(err, &failed) {
		end = failed.Name
	}
	if err := json.Unmarshal(last, &s); err != nil {
		t.Fatal(err)
	}
	return s, states, cmp.Or(end, states[len(states)-1])
}

const (
	finished = `[level="info"][time="2026-03-01T04:00:01Z"][snapshotgroup="ssg-bp1cccc"][message="Finish whole Processes of Snapshot successfully"]`
	broken   = `[level="error"][time="2026-03-01T04:00:01Z"][message="as its pages say"]`
	half     = `[level="error"][snapshotgroup="ssg-bp1cccc"][message="as its pages say"]`
)

// The documented exit codes: what the plug-in says goes in, and what is made of
// it comes out.
func TestEveryExitCodeOfThePlugin(t *testing.T) {
	const (
		taken    = "Open Precheck Mode StartPlugin WaitPlugin WatchPlugin PluginEnded KeepSet PollStatus Complete Tag Outcome "
		without  = "Open Precheck Mode StartPlugin WaitPlugin WatchPlugin PluginEnded Tag Outcome "
		appTrue  = "AppConsistent"
		appTrue2 = "APPConsistent"
	)
	for _, c := range []struct {
		code   int
		output string
		tag    string // on the group's snapshots; "-": a group without tags, empty: no group
		want   fault.Code
		sent   int // commands
		level  run.Consistency
		end    string
	}{
		{0, finished, appTrue, "", 1, run.Application, "Completed"},
		{0, finished, appTrue2, "", 1, run.Application, "Completed"},
		{0, base64.StdEncoding.EncodeToString([]byte(finished)), "appconsistent", "", 1, run.Application, "Completed"},
		{0, finished, "FsConsistent", fault.ScriptUnsafe, 1, run.Filesystem, "Degraded"},
		{0, finished, "-", fault.PluginUntagged, 1, run.Crash, "Degraded"},
		{0, finished, "", fault.PluginFailed, 1, "", "FailedDirty"},
		{1, broken, "", fault.PluginRefused, 1, "", "FailedClean"},
		{2, broken, "", fault.InvalidInput, 1, "", "FailedClean"},
		{3, broken, "", fault.PluginFailed, 1, "", "FailedDirty"},
		{4, broken, "", fault.SnapshotRefused, 3, "", "FailedClean"},
		{5, half, "-", fault.SnapshotFailed, 1, run.Crash, "Degraded"},
		{5, broken, "", fault.SnapshotFailed, 1, "", "FailedClean"},
		{6, half, "-", fault.SnapshotTimedOut, 1, run.Crash, "Degraded"},
		{6, broken, "", fault.SnapshotTimedOut, 2, "", "FailedClean"},
		{7, half, "-", fault.SnapshotFailed, 1, run.Crash, "Degraded"},
		{8, half, "-", fault.PluginUntagged, 1, run.Crash, "Degraded"},
		{9, broken, "", fault.PluginScriptFailed, 1, "", "FailedDirty"},
		{10, half, "FsConsistent", fault.PluginScriptFailed, 1, run.Crash, "FailedDirty"},
		{11, broken, "", fault.FreezeRefused, 3, "", "FailedClean"},
		{12, half, "-", fault.ThawFailed, 1, run.Crash, "FailedDirty"},
		{13, broken, "", fault.InstanceRoleMissing, 1, "", "FailedClean"},
		{14, broken, "", fault.SnapshotQuotaExceeded, 1, "", "FailedClean"},
		{15, half, "-", fault.SnapshotFailed, 1, run.Crash, "Degraded"},
		{16, broken, "", fault.SnapshotTooSoon, 4, "", "FailedClean"},
		{255, broken, "", fault.PluginFailed, 2, "", "FailedDirty"},
		{77, broken, "", fault.PluginFailed, 1, "", "FailedDirty"},
	} {
		t.Run(fmt.Sprintf("%d %s", c.code, c.tag), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				at := newAliyun()
				at.results = append(at.results, exited(c.code, c.output))
				switch c.tag {
				case "":
				case "-":
					at.makes(nil)
				default:
					at.makes(map[string]string{c.tag: "True"})
				}
				s, states, end := flow(t, at, pluginRequest)
				v := s.Verdict
				if end != c.end || v == nil {
					t.Fatalf("ends %s by %v, want %s", end, states, c.end)
				}
				if v.Code != string(c.want) || v.Consistency != c.level {
					t.Errorf("got %s, %q (%s), want %s, %q", v.Code, v.Consistency, v.Reason, c.want, c.level)
				}
				if n := len(at.sentPlugins()); n != c.sent {
					t.Errorf("the command was sent %d times, want %d", n, c.sent)
				}
				if c.sent == 1 && c.level != "" && strings.Join(states, " ") != taken+c.end || c.sent == 1 && c.level == "" && strings.Join(states, " ") != without+c.end {
					t.Errorf("got the path %v", states)
				}
				if move := c.want.NextMove(); c.want != "" && (move == "" || !told(at.bus, move)) {
					t.Errorf("no event names the next move %q", move)
				}
				if tags := at.tags["s-bp1a"]; c.level != "" && tags["quiesce:consistency"] != string(c.level) {
					t.Errorf("the snapshots are tagged %v", tags)
				}
			})
		})
	}
	if len(plugin.Exits) != 18 {
		t.Errorf("%d exit codes are known, 18 are documented", len(plugin.Exits))
	}
}

func told(bus []events.Event, move string) bool {
	for _, e := range bus {
		switch d := e.Detail.(type) {
		case events.Outcome:
			if d.NextMove == move {
				return true
			}
		}
	}
	return false
}

// A silent degrade says why, as precheck saw it coming.
func TestASilentDegradeHasItsReason(t *testing.T) {
	for look, want := range map[string]string{
		"0 700 /opt/post.sh\n":                         "/opt/pre.sh is missing",
		"0 755 /opt/pre.sh\n0 700 /opt/post.sh\n":      "/opt/pre.sh has the mode 755, wants 700",
		"1000 700 /opt/pre.sh\n0 700 /opt/post.sh\n":   "/opt/pre.sh is owned by the user 1000, wants root",
		"0 700 /opt/pre.sh\n0 700 /opt/post.sh\n":      "most likely a script is missing",
		"0 700 /opt/pre.sh\n0 4700 /opt/post.sh\n\n\n": "/opt/post.sh has the mode 4700, wants 700",
	} {
		synctest.Test(t, func(t *testing.T) {
			c := newAliyun()
			c.look, c.results = look, []cloud.Result{exited(0, finished)}
			c.makes(map[string]string{"FsConsistent": "true"})
			s, _, end := flow(t, c, pluginRequest)
			if end != "Degraded" || !strings.Contains(s.Verdict.Reason, want) {
				t.Errorf("%q: ends %s, %s", look, end, s.Verdict.Reason)
			}
			warned := slices.ContainsFunc(s.Plan.Warnings, func(w string) bool { return strings.HasPrefix(w, want) })
			if warned != !strings.HasPrefix(want, "most") {
				t.Errorf("%q: precheck warned of %q", look, s.Plan.Warnings)
			}
		})
	}
}

// One snapshot of a set without the tag is enough.
func TestEverySnapshotMustCarryTheTag(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newAliyun()
		c.results = []cloud.Result{exited(0, finished)}
		c.makes(nil)
		c.groups["quiesce-run-1"].Members[0].Tags = map[string]string{"AppConsistent": "True"}
		if s, _, end := flow(t, c, pluginRequest); end != "Degraded" || s.Verdict.Consistency != run.Crash || !strings.Contains(s.Verdict.Reason, "s-bp1b") {
			t.Errorf("ends %s: %+v", end, s.Verdict)
		}
	})
}

// What Cloud Assistant says in the plug-in's place.
func TestCommandsThatDidNotEndByThemselves(t *testing.T) {
	for _, c := range []struct {
		result cloud.Result
		want   fault.Code
		sent   int
		end    string
	}{
		{cloud.Result{Done: true, TimedOut: true, Status: "Invalid (InstanceNotRunning)", ExitCode: -1}, fault.InstanceNotRunning, 1, "FailedClean"},
		{cloud.Result{Done: true, TimedOut: true, Status: "Invalid (ClientNotRunning)", ExitCode: -1}, fault.AgentOffline, 1, "FailedClean"},
		{cloud.Result{Done: true, TimedOut: true, Status: "Aborted (DeliveryTimeout)", ExitCode: -1}, fault.AgentOffline, 2, "FailedClean"},
		{cloud.Result{Done: true, TimedOut: true, Status: "Timeout (ExecutionTimeout)", ExitCode: -1}, fault.CommandTimedOut, 1, "FailedDirty"},
		{cloud.Result{Done: true, TimedOut: true, Status: "Error (ExecutionInterrupted)", ExitCode: -1}, fault.CommandFailed, 1, "FailedDirty"},
		{cloud.Result{Done: true, TimedOut: true, Status: "Cancelled", ExitCode: -1}, fault.CommandFailed, 1, "FailedClean"},
		{cloud.Result{Status: "Running", ExitCode: -1}, fault.CommandTimedOut, 1, "FailedDirty"}, // for ever
	} {
		synctest.Test(t, func(t *testing.T) {
			at := newAliyun()
			at.results = append(at.results, c.result)
			began := time.Now()
			s, _, end := flow(t, at, pluginRequest)
			if end != c.end || s.Verdict.Code != string(c.want) || len(at.sentPlugins()) != c.sent {
				t.Errorf("%s: ends %s with %s after %d commands", c.result.Status, end, s.Verdict.Code, len(at.sentPlugins()))
			}
			if took := time.Since(began); took > 40*time.Minute {
				t.Errorf("%s: took %v", c.result.Status, took)
			}
		})
	}
}

func TestPluginsCommand(t *testing.T) {
	const linux = `acs-plugin-manager --exec --plugin app-snapshot-plugin --params=-RamRoleName="Snapshotter",-EnableFsFreeze=true,-TimeoutInSeconds=60,-PreScriptPath="/opt/pre.sh",-PostScriptPath="/opt/post.sh",-ExcludeDiskId="d-bp1boot00000000",-Name="quiesce-run-1"`
	const windows = `acs-plugin-manager --exec --plugin app-snapshot-plugin-win --params=-RamRoleName="Snapshotter",-EnableWriters=true,-Description="Quiesce",-ExcludeDiskId="d-bp1boot00000000",-Name="quiesce-run-1"`
	for name, c := range map[string]struct {
		request, want string
		windows       bool
	}{
		"linux":   {pluginRequest, linux, false},
		"windows": {strings.Replace(pluginRequest, `"application":{"kind":"script","preScript":"/opt/pre.sh","postScript":"/opt/post.sh"}`, `"application":{"kind":"vss"}`, 1), windows, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			at := newAliyun()
			at.results = append(at.results, exited(0, finished))
			at.makes(map[string]string{"APPConsistent": "True"})
			if c.windows {
				at.ping.Linux, at.instance.System = false, "Windows Server  2019 Datacenter 64 bit"
			}
			_, _, end := flow(t, at, c.request)
			if end != "Completed" {
				t.Errorf("%s: ends %s", name, end)
			}
			sent := at.sentPlugins()
			if len(sent) != 1 || sent[0].Content != c.want || sent[0].TimeoutSecs < 1800 || sent[0].Windows != c.windows {
				t.Errorf("%s: sent %+v\nwant %s", name, sent, c.want)
			}
		})
	}
}

// The steps of the plug-in are told of, and none that did not run.
func TestEventsOfAPluginsRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newAliyun()
		c.results = []cloud.Result{exited(0, finished)}
		c.makes(map[string]string{"AppConsistent": "True"})
		flow(t, c, pluginRequest)
		var steps []string
		for _, e := range c.bus {
			if d, ok := e.Detail.(events.Step); ok && !slices.Contains(steps, d.Step) {
				steps = append(steps, d.Step)
			}
		}
		if want := []string{"precheck", "start-plugin", "watch-plugin", "poll-status", "tag"}; !slices.Equal(steps, want) {
			t.Errorf("told of %v, want %v", steps, want)
		}
	})
}

// On Windows the plug-in has a spelling of its own for the tag, which must not go
// on saying what the verdict does not.
func TestWindowsTagFollowsTheVerdict(t *testing.T) {
	request := strings.Replace(pluginRequest, `"application":{"kind":"script","preScript":"/opt/pre.sh","postScript":"/opt/post.sh"}`, `"application":{"kind":"vss"}`, 1)
	for exit, want := range map[int]string{0: "True", 5: "False"} {
		synctest.Test(t, func(t *testing.T) {
			c := newAliyun()
			c.ping.Linux, c.instance.System = false, "Windows Server  2019 Datacenter 64 bit"
			c.results = []cloud.Result{exited(exit, finished)}
			c.makes(map[string]string{plugin.WindowsApp: "True"})
			flow(t, c, request)
			for _, id := range []string{"s-bp1a", "s-bp1b"} {
				if got := c.tags[id]; got[plugin.WindowsApp] != want || got[cloud.TagApp] != want {
					t.Errorf("exit %d: %s carries %v", exit, id, got)
				}
			}
		})
	}
}
