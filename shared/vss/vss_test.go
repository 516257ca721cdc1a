package vss_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/vss"
)

func plan() run.Plan {
	p := policy.Default()
	p.Name, p.Mode, p.Application.Kind = "gold", policy.ByVSS, policy.VSS
	return run.Plan{RunID: "run-1", Target: run.Target{InstanceID: "i-0abc12345678def90"}, Policy: p, Volumes: make([]run.Volume, 2)}
}

func TestParameters(t *testing.T) {
	const ours = "Key=quiesce:instance,Value=i-0abc12345678def90;Key=quiesce:members,Value=2;Key=quiesce:policy,Value=gold;Key=quiesce:run,Value=run-1"
	usual := map[string]string{
		"ExcludeBootVolume": "True", "NoWriters": "False", "CopyOnly": "False", "SaveVssMetadata": "False", "CollectDiagnosticLogs": "False",
		"CreateAmi": "False", "VssVersion": "", "description": "Quiesce run run-1", "executionTimeout": "900", "tags": ours,
	}
	for _, c := range []struct {
		name string
		with func(*run.Plan)
		want map[string]string
	}{
		{"as it is", func(*run.Plan) {}, nil},
		{"the boot volume too", func(p *run.Plan) { p.Policy.Volumes.ExcludeBoot = false }, map[string]string{"ExcludeBootVolume": "False"}},
		{"without writers", func(p *run.Plan) { p.Policy.Application.Kind = policy.None }, map[string]string{"NoWriters": "True"}},
		{"everything", func(p *run.Plan) {
			p.Policy.Shadow = policy.Shadow{CopyOnly: true, SaveMetadata: true, CollectLogs: true, Version: "2.5.1", Description: "of db", TimeoutSeconds: 120}
		}, map[string]string{"CopyOnly": "True", "SaveVssMetadata": "True", "CollectDiagnosticLogs": "True", "VssVersion": "2.5.1", "description": "of db", "executionTimeout": "120"}},
		{"tags", func(p *run.Plan) { p.Policy.Tags = map[string]string{"Name": "db 1", "a": ""} },
			map[string]string{"tags": "Key=Name,Value=db 1;Key=a,Value=;" + ours}},
	} {
		p := plan()
		c.with(&p)
		want := maps.Clone(usual)
		maps.Copy(want, c.want)
		got, err := vss.Of(p).Parameters()
		if err != nil || !maps.Equal(got, want) {
			t.Errorf("%s: got %v, %v\nwant %v", c.name, got, err, want)
		}
	}
}

// What means something to the list of tags, to PowerShell or to a shell comes to
// none of them, and is refused by its field.
func TestNothingIsInterpolated(t *testing.T) {
	for _, bad := range []string{`a;b`, `a,b`, `a"b`, `a'b`, "a`b", `a$b`, `a(b)`, `a{b}`, "a\nb", `a|b`, `a&b`, `a<b`, `a\b`, `a%b`, "a\x00b", "ä"} {
		for field, with := range map[string]func(*run.Plan){
			"policy.tags.a":           func(p *run.Plan) { p.Policy.Tags = map[string]string{"a": bad} },
			"policy.tags." + bad:      func(p *run.Plan) { p.Policy.Tags = map[string]string{bad: "a"} },
			"policy.vss.description":  func(p *run.Plan) { p.Policy.Shadow.Description = bad },
			"policy.vss.version":      func(p *run.Plan) { p.Policy.Shadow.Version = bad },
			"policy.tags.quiesce:run": func(p *run.Plan) { p.RunID, p.Policy.Shadow.Description = bad, "x" },
		} {
			p := plan()
			with(&p)
			_, err := vss.Of(p).Parameters()
			var f *fault.Error
			if !errors.As(err, &f) || f.Code != fault.InvalidInput || f.Field != field {
				t.Errorf("%q: got %v, want %s refused", bad, err, field)
			}
		}
	}
	for _, key := range policy.Written {
		p := plan()
		p.Policy.Tags = map[string]string{key: "true"}
		if _, err := vss.Of(p).Parameters(); fault.CodeOf(err) != fault.InvalidInput {
			t.Errorf("%s: got %v, want it refused", key, err)
		}
	}
	p := plan()
	p.Policy.Tags = map[string]string{}
	for i := range 40 {
		p.Policy.Tags[fmt.Sprint("t", i)] = "x"
	}
	if _, err := vss.Of(p).Parameters(); fault.CodeOf(err) != fault.InvalidInput {
		t.Errorf("52 tags on a snapshot: got %v", err)
	}
}

func TestFits(t *testing.T) {
	good := func() (cloud.Instance, cloud.Ping) {
		return cloud.Instance{ID: "i-1", Type: "m7i.large", Profile: "arn:aws:iam::1:instance-profile/p"},
			cloud.Ping{Online: true, System: "Microsoft Windows Server 2022 Datacenter", Version: "3.3.40.0"}
	}
	for _, c := range []struct {
		name  string
		with  func(*cloud.Instance, *cloud.Ping)
		code  fault.Code
		field string
	}{
		{"as it is", func(*cloud.Instance, *cloud.Ping) {}, "", ""},
		{"2016, the first", func(_ *cloud.Instance, p *cloud.Ping) { p.System = "Microsoft Windows Server 2016 Datacenter" }, "", ""},
		{"2012 R2", func(_ *cloud.Instance, p *cloud.Ping) { p.System = "Microsoft Windows Server 2012 R2 Standard" }, fault.VssRefused, "instanceId"},
		{"for desks", func(_ *cloud.Instance, p *cloud.Ping) { p.System = "Microsoft Windows 10 Pro" }, fault.VssRefused, "instanceId"},
		{"Linux", func(_ *cloud.Instance, p *cloud.Ping) { p.Linux, p.System = true, "Amazon Linux" }, fault.InvalidInput, "policy.mode"},
		{"the first agent", func(_ *cloud.Instance, p *cloud.Ping) { p.Version = "3.0.502.0" }, "", ""},
		{"an older agent", func(_ *cloud.Instance, p *cloud.Ping) { p.Version = "3.0.501.9" }, fault.VssRefused, "instanceId"},
		{"a newer agent with a smaller part", func(_ *cloud.Instance, p *cloud.Ping) { p.Version = "3.1.0.0" }, "", ""},
		{"an agent that says nothing", func(_ *cloud.Instance, p *cloud.Ping) { p.Version = "" }, fault.VssRefused, "instanceId"},
		{"t2.nano", func(i *cloud.Instance, _ *cloud.Ping) { i.Type = "t2.nano" }, fault.VssRefused, "instanceId"},
		{"t3a.micro", func(i *cloud.Instance, _ *cloud.Ping) { i.Type = "t3a.micro" }, fault.VssRefused, "instanceId"},
		{"t3.small", func(i *cloud.Instance, _ *cloud.Ping) { i.Type = "t3.small" }, "", ""},
		{"t4g.micro, of which nothing is said", func(i *cloud.Instance, _ *cloud.Ping) { i.Type = "t4g.micro" }, "", ""},
		{"no profile", func(i *cloud.Instance, _ *cloud.Ping) { i.Profile = "" }, fault.InstanceProfileMissing, "instanceId"},
	} {
		i, p := good()
		c.with(&i, &p)
		err := vss.Fits(i, p)
		var f *fault.Error
		switch {
		case c.code == "" && err != nil, c.code != "" && (!errors.As(err, &f) || f.Code != c.code || f.Field != c.field):
			t.Errorf("%s: got %v, want %s by %s", c.name, err, c.code, c.field)
		case f != nil && f.Code.NextMove() == "":
			t.Errorf("%s: nobody says what to do", c.name)
		}
	}
}

func ended(status, output string) cloud.Invocation {
	return cloud.Invocation{Done: true, Status: status, Steps: []cloud.StepResult{
		{Name: "AnInstallStep", Status: "Success"}, {Name: vss.Step, Status: status, ExitCode: 1, Output: output},
	}}
}

// Every status and sentence that is documented, with what is made of it.
func TestWeigh(t *testing.T) {
	for _, c := range []struct {
		inv  cloud.Invocation
		code fault.Code
		says string
		lost bool
		more int
	}{
		{cloud.Invocation{Done: true, Status: "Success"}, "", "", false, 0},
		{ended("Failed", "2 volumes\nEncountered an error: Thaw pipe connection timed out.\nmore"), fault.VssTimedOut, "Encountered an error: Thaw pipe connection timed out.", false, 2},
		{ended("Failed", "error on thaw"), fault.VssTimedOut, "error on thaw", false, 2},
		{ended("Failed", "Timeout waiting for VSS freeze"), fault.VssTimedOut, "Timeout waiting for VSS freeze", false, 2},
		{ended("Failed", "HRESULT 0x80042314"), fault.VssTimedOut, "HRESULT 0x80042314", false, 2},
		{ended("Failed", "0x800423f4 writer"), fault.VssWriterFailed, "0x800423f4 writer", false, 0},
		{ended("Failed", "Cannot invoke method. Method invocation is supported only on core types in this language mode."), fault.VssRefused, "Cannot invoke method", false, 0},
		{ended("Failed", "UnauthorizedOperation: no"), fault.InstanceProfileMissing, "UnauthorizedOperation: no", false, 0},
		{ended("Failed", "RequestLimitExceeded"), fault.SnapshotThrottled, "RequestLimitExceeded", false, 2},
		{ended("Failed", "SnapshotCreationPerVolumeRateExceeded"), fault.SnapshotTooSoon, "SnapshotCreation", false, 2},
		{ended("Failed", "ConcurrentSnapshotLimitExceeded"), fault.SnapshotTooSoon, "Concurrent", false, 2},
		{ended("Failed", "SnapshotLimitExceeded"), fault.SnapshotQuotaExceeded, "SnapshotLimit", false, 0},
		{ended("Failed", "----------ERROR-------\nsomething else\n"), fault.VssFailed, "something else", false, 0},
		{ended("Failed", ""), fault.VssFailed, "", false, 0},
		{cloud.Invocation{Done: true, Status: "Failed", Steps: []cloud.StepResult{{Name: "AnInstallStep", Status: "Failed", ExitCode: 1, Output: "no package"}, {Name: vss.Step, Status: "Failed"}}}, fault.VssComponentsMissing, "no package", false, 0},
		{cloud.Invocation{Done: true, Status: "Failed"}, fault.VssFailed, "", false, 0},
		{cloud.Invocation{Done: true, Status: "DeliveryTimedOut"}, fault.AgentOffline, "", true, 0},
		{cloud.Invocation{Done: true, Status: "ExecutionTimedOut"}, fault.CommandTimedOut, "", true, 0},
		{cloud.Invocation{Done: true, Status: "Cancelled"}, fault.CommandFailed, "", true, 0},
		{cloud.Invocation{Done: true, Status: "Undeliverable"}, fault.AgentOffline, "", false, 1},
		{cloud.Invocation{Done: true, Status: "Terminated"}, fault.CommandFailed, "", false, 0},
		{cloud.Invocation{Done: true, Status: "InvalidPlatform"}, fault.VssRefused, "", false, 0},
		{cloud.Invocation{Done: true, Status: "AccessDenied"}, fault.AccessDenied, "", false, 0},
		{cloud.Invocation{Status: "InProgress"}, fault.CommandTimedOut, "", true, 0},
	} {
		exit, said := vss.Weigh(c.inv)
		if exit.Code != c.code || exit.Lost != c.lost || exit.Tries != c.more || !strings.HasPrefix(said, c.says) || exit.Meaning == "" {
			t.Errorf("%s %v: got %+v, %q; want %s, %q, lost %t, %d tries", c.inv.Status, c.inv.Steps, exit, said, c.code, c.says, c.lost, c.more)
		}
		if c.code != "" && c.code.NextMove() == "" {
			t.Errorf("%s has no next move", c.code)
		}
	}
	var codes []string
	for _, s := range vss.Sayings {
		if slices.Contains(codes, s.Text) {
			t.Errorf("%q stands twice", s.Text)
		}
		codes = append(codes, s.Text)
	}
	if long, said := vss.Weigh(ended("Failed", "UnauthorizedOperation "+strings.Repeat("ä", 500))); len([]rune(said)) > 121 || long.Code != fault.InstanceProfileMissing {
		t.Errorf("a sentence of %d characters", len([]rune(said)))
	}
}

func TestWritten(t *testing.T) {
	for value, want := range map[string]bool{"true": true, "True": true, "false": false, "": false, "yes": false} {
		if got := vss.Written(map[string]string{"AppConsistent": value}); got != want {
			t.Errorf("%q: got %t", value, got)
		}
	}
	if vss.Written(map[string]string{"AwsVssConfig": "x"}) {
		t.Error("another tag is taken for it")
	}
}
