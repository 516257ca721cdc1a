package functions_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// A name or a path that means something to a shell never comes to one: it is
// refused by its field before any command is sent.
func TestNothingReachesAShell(t *testing.T) {
	for _, bad := range []string{`a"b`, `a'b`, "a$(reboot)b", "a`reboot`b", "a\nb", "a,b", "a b", "a;b", "a|b", "a&b", `a\b`, "a>b", "a=b"} {
		text, _ := json.Marshal(bad)
		quoted := string(text[1 : len(text)-1])
		for field, request := range map[string]string{
			"policy.ramRole":                strings.Replace(pluginRequest, `"Snapshotter"`, `"`+quoted+`"`, 1),
			"policy.application.preScript":  strings.Replace(pluginRequest, "/opt/pre.sh", "/opt/"+quoted, 1),
			"policy.application.postScript": strings.Replace(pluginRequest, "/opt/post.sh", "/opt/"+quoted, 1),
			"policy.volumes.excludeIds[0]":  strings.Replace(pluginRequest, `"name":"gold"`, `"name":"gold","volumes":{"excludeIds":["d-`+quoted+`"]}`, 1),
		} {
			synctest.Test(t, func(t *testing.T) {
				c := newAliyun()
				s, _, end := flow(t, c, request)
				if end != "FailedClean" || len(c.runs) != 0 {
					t.Errorf("%s %q: ends %s after %d commands", field, bad, end, len(c.runs))
				}
				if f := s.Failures.Precheck; f == nil || f.Error != string(fault.InvalidInput) || !strings.Contains(f.Cause, field) {
					t.Errorf("%s %q: got %+v, want it to name the field", field, bad, f)
				}
			})
		}
	}
}

func TestPluginsPrerequisites(t *testing.T) {
	for _, c := range []struct {
		name string
		with func(*aliyun)
		code fault.Code
		says string
	}{
		{"a disk that is no ESSD", func(c *aliyun) { c.instance.Volumes[1].Unsupported = "is no ESSD" }, fault.VolumeUnsupported, "ESSD"},
		{"a stopped instance", func(c *aliyun) { c.instance.Running = false }, fault.InstanceNotRunning, ""},
		{"Cloud Assistant offline", func(c *aliyun) { c.ping.Online = false }, fault.AgentOffline, "InstallCloudAssistant"},
		{"no role", func(c *aliyun) { c.role = "" }, fault.InstanceRoleMissing, "AttachInstanceRamRole"},
		{"another role", func(c *aliyun) { c.role = "Other" }, fault.InvalidInput, "policy.ramRole"},
		{"an old system", func(c *aliyun) { c.instance.System = "CentOS  7.4 64 bit" }, fault.PluginRefused, "CentOS  7.4"},
		{"another system", func(c *aliyun) { c.instance.System = "Debian  12.5 64 bit" }, fault.PluginRefused, "Debian"},
		{"too many disks", func(c *aliyun) {
			for i := range 17 {
				c.instance.Volumes = append(c.instance.Volumes, cloud.Volume{ID: fmt.Sprintf("d-bp1cccccccccc%02d", i), SizeGiB: 1})
			}
		}, fault.PluginRefused, "19 disks"},
		{"too large disks", func(c *aliyun) { c.instance.Volumes[1].SizeGiB = 33 << 10 }, fault.PluginRefused, "GiB"},
		{"a snapshot in progress", func(c *aliyun) {
			c.instance.Volumes[1].Concurrent, c.pending = 1, map[string]int{"d-bp1aaaaaaaaaaaa": 1}
		}, fault.SnapshotTooSoon, ""},
		{"a dry run that is refused", func(c *aliyun) { c.refuses = fault.New(fault.InvalidInput, "InvalidParameter.CommandContent") }, fault.InvalidInput, "CommandContent"},
	} {
		synctest.Test(t, func(t *testing.T) {
			at := newAliyun()
			c.with(at)
			_, err := plan(t, at, pluginRequest)
			if fault.CodeOf(err) != c.code || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: got %v (%s), want %s and %q", c.name, err, fault.CodeOf(err), c.code, c.says)
			}
			if len(at.runs) != 0 {
				t.Errorf("%s: sent %v", c.name, at.runs)
			}
		})
	}
	if _, err := plan(t, newCloud(), strings.Replace(pluginRequest, aliyunID, "i-0abc12345678def90", 1)); fault.CodeOf(err) != fault.InvalidInput || !strings.Contains(err.Error(), "policy.mode") {
		t.Errorf("on another cloud: got %v", err)
	}
}
