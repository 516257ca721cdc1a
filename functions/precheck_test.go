package functions_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

func plan(t *testing.T, c cloud.Provider, request string) (run.Plan, error) {
	t.Helper()
	return do[run.Plan](t, c, "precheck", `{"run":{"id":"run-1","startedAt":"2026-01-02T03:04:05Z"},"request":`+request+`}`)
}

func TestPrecheckPlansFromAnInstanceIdAlone(t *testing.T) {
	c := newCloud()
	c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
		reply := answer(r, mounts...)
		reply.Now = time.Now().Add(time.Hour)
		return reply
	}
	got, err := plan(t, c, `{"instanceId":"i-0abc12345678def90"}`)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.Volumes); n != 2 || got.Volumes[0].ID != "vol-0aaaaaaaa" || got.Volumes[1].ID != "vol-0bbbbbbbb" {
		t.Errorf("volumes %+v", got.Volumes)
	}
	if !slices.Equal(got.Excluded, []string{"vol-0boot0000"}) || got.Boot != "vol-0boot0000" {
		t.Errorf("excluded %v, boot %s", got.Excluded, got.Boot)
	}
	if len(got.Filesystems) != 2 || got.Filesystems[0].Mount != "/data" || got.Filesystems[1].Mount != "/log" {
		t.Errorf("filesystems %+v", got.Filesystems)
	}
	if a, b := got.Volumes[0].Mounts, got.Volumes[1].Mounts; a != "xfs:/data" || b != "ext4:/log" {
		t.Errorf("mounted %q, %q", a, b)
	}
	if got.Policy.Freeze.DeadlineSeconds != 60 || got.Policy.Name != "default" {
		t.Errorf("the defaults are not written back: %+v", got.Policy)
	}
	if skew := time.Duration(got.ClockSkewMs) * time.Millisecond; skew < 59*time.Minute || skew > time.Hour {
		t.Errorf("clock skew %s, want about an hour", skew)
	}
	if len(c.bus) != 1 {
		t.Errorf("%d events, want the step's own", len(c.bus))
	}
}

// TestPrecheckRefusesBadInput asserts that nothing at all was called.
func TestPrecheckRefusesBadInput(t *testing.T) {
	script := `{"instanceId":"i-0abc12345678def90","policy":{"application":{"kind":"script","preScript":%s,"postScript":"/opt/post"}}}`
	with := func(pre string) string { return strings.Replace(script, "%s", pre, 1) }
	tests := []struct{ name, request, field string }{
		{"no instance", `{}`, "instanceId"},
		{"a malformed id", `{"instanceId":"0abc"}`, "instanceId"},
		{"an id with a substitution", `{"instanceId":"i-$(reboot)"}`, "instanceId"},
		{"an id with a newline", `{"instanceId":"i-0abc12345678def90\n"}`, "instanceId"},
		{"an unknown field", `{"instanceId":"i-0abc12345678def90","freeze":true}`, "freeze"},
		{"an unknown field of the policy", `{"instanceId":"i-0abc12345678def90","policy":{"retry":1}}`, "retry"},
		{"a number for a name", `{"instanceId":7}`, "request.instanceId"},
		{"a timeout of 9", `{"instanceId":"i-0abc12345678def90","policy":{"application":{"timeoutSeconds":9}}}`, "policy.application.timeoutSeconds"},
		{"a timeout of 121", `{"instanceId":"i-0abc12345678def90","policy":{"application":{"timeoutSeconds":121}}}`, "policy.application.timeoutSeconds"},
		{"a relative script", with(`"pre.sh"`), "policy.application.preScript"},
		{"a script with a quote", with(`"/opt/a'b"`), "policy.application.preScript"},
		{"a script with a newline", with(`"/opt/a\nb"`), "policy.application.preScript"},
		{"a script with a substitution", with(`"/opt/$(b)"`), "policy.application.preScript"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			_, err := plan(t, c, tt.request)
			if code := fault.CodeOf(err); code != fault.InvalidInput {
				t.Fatalf("got %v (%s)", err, code)
			}
			if !strings.Contains(err.Error(), tt.field+":") {
				t.Errorf("%q does not name %s", err, tt.field)
			}
			if calls := slices.DeleteFunc(c.calls, func(s string) bool { return s == "Publish" }); len(calls) > 0 {
				t.Errorf("called %v", calls)
			}
		})
	}
}

func TestPrecheckRefusesWhatCannotBeDone(t *testing.T) {
	const plain = `{"instanceId":"i-0abc12345678def90"}`
	lvm := protocol.Mount{Mount: "/lv", Device: "253:0", Type: "xfs", Disks: []protocol.Disk{{Name: "nvme1n1", Serial: "vol0aaaaaaaa"}, {Name: "nvme2n1", Serial: "vol0bbbbbbbb"}}}
	tests := []struct {
		name    string
		request string
		with    func(*fakeCloud)
		code    fault.Code
		says    string
	}{
		{"an unknown instance", `{"instanceId":"i-0000000000000000f"}`, func(*fakeCloud) {}, fault.InstanceNotFound, ""},
		{"a stopped instance", plain, func(c *fakeCloud) { c.instance.Running, c.instance.State = false, "stopped" }, fault.InstanceNotRunning, "stopped"},
		{"a disk that a restore is about to replace", plain, func(c *fakeCloud) { c.instance.Volumes[1].Tags = map[string]string{cloud.TagReplaced: "restore-7"} }, fault.RunInProgress, "restore-7"},
		{"an instance that did not opt in", plain, func(c *fakeCloud) { c.instance.Tags = nil }, fault.InstanceNotOptedIn, cloud.TagOptIn},
		{"an agent that is offline", plain, func(c *fakeCloud) { c.ping.Online = false }, fault.AgentOffline, ""},
		{"a heartbeat of yesterday", plain, func(c *fakeCloud) { c.ping.Last = time.Now().Add(-24 * time.Hour) }, fault.AgentOffline, ""},
		{"five snapshots in progress", plain, func(c *fakeCloud) { c.pending = map[string]int{"vol-0aaaaaaaa": 5} }, fault.SnapshotTooSoon, "vol-0aaaaaaaa"},
		{"a multi-attach volume", plain, func(c *fakeCloud) { c.instance.Volumes[1].Unsupported = "multi-attach" }, fault.VolumeUnsupported, "multi-attach"},
		{"every volume left out", `{"instanceId":"i-0abc12345678def90","policy":{"volumes":{"excludeIds":["vol-0aaaaaaaa","vol-0bbbbbbbb"]}}}`, func(*fakeCloud) {}, fault.NothingToSnapshot, ""},
		{"a volume that is not attached left out", `{"instanceId":"i-0abc12345678def90","policy":{"volumes":{"excludeIds":["vol-0cccccccc"]}}}`, func(*fakeCloud) {}, fault.InvalidInput, "vol-0cccccccc"},
		{"another run's session", plain, func(c *fakeCloud) {
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply {
				reply := answer(r, mounts...)
				reply.DryRun.ActiveRun = "run-0"
				return reply
			}
		}, fault.RunInProgress, "run-0"},
		{"a script that is world-writable", plain, func(c *fakeCloud) {
			c.refuse(protocol.DryRun, protocol.Failure{Code: fault.ScriptUnsafe, Field: "scripts[1]", Message: "is writable by others"})
		}, fault.ScriptUnsafe, "policy.application.postScript"},
		{"a logical volume across the set's edge", `{"instanceId":"i-0abc12345678def90","policy":{"volumes":{"excludeTags":{"tier":"log"}}}}`, func(c *fakeCloud) {
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply { return answer(r, lvm) }
		}, fault.VolumeUnresolved, "/lv"},
		{"a mount that nothing is at", `{"instanceId":"i-0abc12345678def90","policy":{"freeze":{"mounts":["/nowhere"]}}}`, func(*fakeCloud) {}, fault.InvalidInput, "/nowhere"},
		{"more policy than a flow has room for", `{"instanceId":"i-0abc12345678def90","policy":{"freeze":{"mounts":["` + strings.Join(manyMounts(60), `","`) + `"]}}}`, func(c *fakeCloud) {
			c.instance.Target.Provider = run.Aliyun
			m := slices.Clone(mounts[:1])
			for _, at := range manyMounts(60) {
				m = append(m, protocol.Mount{Mount: at, Device: "259:3", Type: "xfs", Disks: mounts[1].Disks})
			}
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply { return answer(r, m...) }
		}, fault.InvalidInput, "on Alibaba Cloud"},
		{"a filesystem that cannot be frozen", plain, func(c *fakeCloud) {
			m := slices.Clone(mounts)
			m[1].Refused = "vfat cannot be frozen"
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply { return answer(r, m...) }
		}, fault.FreezeRefused, "vfat"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			tt.with(c)
			_, err := plan(t, c, tt.request)
			refused(t, err, tt.code, "")
			if !strings.Contains(err.Error(), tt.says) {
				t.Errorf("%q does not say %q", err, tt.says)
			}
			for _, r := range c.sent {
				if r.Verb != protocol.DryRun {
					t.Errorf("it sent %s", r.Verb)
				}
			}
		})
	}
}

// TestPrecheckFindsTheVolumeUnderAMount: by serial number, by device name, and
// through a loop device's file.
func TestPrecheckFindsTheVolumeUnderAMount(t *testing.T) {
	disk := func(name, serial string) []protocol.Disk { return []protocol.Disk{{Name: name, Serial: serial}} }
	tests := []struct {
		name   string
		mounts []protocol.Mount
		want   []string
	}{
		{"NVMe disks, numbered otherwise than attached", mounts[1:], []string{"/data", "/log"}},
		{"Xen disks", []protocol.Mount{{Mount: "/d", Disks: disk("xvdf", "")}, {Mount: "/l", Disks: disk("xvdg", "")}}, []string{"/d", "/l"}},
		{"an instance store", []protocol.Mount{{Mount: "/scratch", Disks: disk("nvme9n1", "AWS123")}}, nil},
		{"a loop device on a volume", []protocol.Mount{mounts[1], {Mount: "/img", On: "/data", Depth: 1, Disks: disk("loop7", "")}}, []string{"/data", "/img"}},
		{"a loop device that is a volume", []protocol.Mount{{Mount: "/v", Disks: disk("loop3", "")}}, []string{"/v"}},
		{"a read-only mount", []protocol.Mount{{Mount: "/ro", ReadOnly: true, Disks: disk("xvdf", "")}}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newCloud()
			c.instance.Volumes = append(c.instance.Volumes, cloud.Volume{ID: "vol-0cccccccc", Device: "/dev/loop3", Concurrent: 5})
			c.helper = func(_ cloud.Command, r protocol.Request) protocol.Reply { return answer(r, tt.mounts...) }
			got, err := plan(t, c, `{"instanceId":"i-0abc12345678def90"}`)
			if err != nil {
				t.Fatal(err)
			}
			var at []string
			for _, f := range got.Filesystems {
				at = append(at, f.Mount)
			}
			if !slices.Equal(at, tt.want) {
				t.Errorf("freezes %v, want %v", at, tt.want)
			}
		})
	}
}

// TestPrecheckCountsWhatThePolicyLeavesWritable: the policy names one mount,
// the set holds another, and the plan must not forget it.
func TestPrecheckCountsWhatThePolicyLeavesWritable(t *testing.T) {
	got, err := plan(t, newCloud(), `{"instanceId":"i-0abc12345678def90","policy":{"freeze":{"mounts":["/data"]}}}`)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Filesystems) != 1 || !slices.Equal(got.Unfrozen, []string{"/log"}) {
		t.Errorf("freezes %v, leaves %v writable", got.Filesystems, got.Unfrozen)
	}
}

// manyMounts are paths that fill a document.
func manyMounts(n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("/data/%s/%d", strings.Repeat("x", 200), i)
	}
	return list
}
