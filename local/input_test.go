package local

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// What a shell or a parser might find a meaning in.
var hostile = []string{`'`, `"`, "\n", "$(reboot)", "`reboot`", ";reboot", `\`}

// refusal is an input that must be refused by its field's name, before
// anything is touched.
type refusal struct {
	name, run, input string
	field            string
	code             string // empty: InvalidInput
}

func refusals(w *world) (list []refusal) {
	add := func(name, field, input string) {
		list = append(list, refusal{name: name, field: field, input: input})
	}
	request := func(policy string) string { return fmt.Sprintf(`{"instanceId":%q,"policy":%s}`, instanceID, policy) }
	text := func(v any) string { s, _ := json.Marshal(v); return string(s) }
	scripts := func(pre, post string) string {
		return request(`{"application":{"kind":"script","preScript":` + text(pre) + `,"postScript":` + text(post) + `}}`)
	}

	add("nothing", "instanceId", `{}`)
	add("a list", "", `[]`)
	add("a text", "", `"i-0123456789abcdef0"`)
	add("an unknown field", "polcy", `{"instanceId":"i-0123456789abcdef0","polcy":{}}`)
	add("an unknown field of the policy", "freez", request(`{"freez":{}}`))
	add("an unknown field further down", "deadlineSecs", request(`{"freeze":{"deadlineSecs":60}}`))
	add("a number for the instance", "instanceId", `{"instanceId":7}`)
	add("a list for the policy", "policy", request(`[]`))
	add("a text for a number", "timeoutSeconds", request(`{"application":{"timeoutSeconds":"10"}}`))
	add("another cloud's instance", "instanceId", `{"instanceId":"db-1"}`)
	add("a relative pre-script", "policy.application.preScript", scripts("bin/pre", "/opt/post"))
	add("a relative post-script", "policy.application.postScript", scripts("/opt/pre", "./post"))
	add("a script above its root", "policy.application.preScript", scripts("/opt/../etc/pre", "/opt/post"))
	add("a pre-script and no other", "policy.application.postScript", scripts("/opt/pre", ""))
	add("a script that is not asked for", "policy.application.preScript", request(`{"application":{"preScript":"/opt/pre"}}`))
	add("an unknown kind", "policy.application.kind", request(`{"application":{"kind":"oracle"}}`))
	add("an unknown answer to failure", "policy.onFailure", request(`{"onFailure":"ignore"}`))
	add("an unknown answer about the root", "policy.freeze.root", request(`{"freeze":{"root":"maybe"}}`))
	add("a timeout of 9", "policy.application.timeoutSeconds", request(`{"application":{"timeoutSeconds":9}}`))
	add("a timeout of 121", "policy.application.timeoutSeconds", request(`{"application":{"timeoutSeconds":121}}`))
	add("4 retries", "policy.application.retries", request(`{"application":{"retries":4}}`))
	add("a deadline of 4", "policy.freeze.deadlineSeconds", request(`{"freeze":{"deadlineSeconds":4}}`))
	add("a deadline of 301", "policy.freeze.deadlineSeconds", request(`{"freeze":{"deadlineSeconds":301}}`))
	add("a relative mount", "policy.freeze.mounts[0]", request(`{"freeze":{"mounts":["data"]}}`))
	add("a mount that is none", "policy.freeze.mounts", request(`{"freeze":{"mounts":["/nowhere"]}}`))
	add("a volume that is not there", "policy.volumes.excludeIds", request(`{"volumes":{"excludeIds":["vol-0123456789abcdef0"]}}`))
	add("a reserved tag", "policy.tags", request(`{"tags":{"quiesce:consistency":"application"}}`))
	add("a policy too large for an execution", "policy", request(`{"freeze":{"mounts":[`+strings.Repeat(text("/"+strings.Repeat("a", 1000))+",", 60)+`"/b"]}}`))
	for _, h := range hostile {
		add("the instance "+text(h), "instanceId", `{"instanceId":`+text(instanceID+h)+`}`)
		add("the name "+text(h), "policy.name", request(`{"name":`+text("gold"+h)+`}`))
		add("the pre-script "+text(h), "policy.application.preScript", scripts("/opt/pre"+h, "/opt/post"))
		add("the post-script "+text(h), "policy.application.postScript", scripts("/opt/pre", "/opt/post"+h))
		add("the mount "+text(h), "policy.freeze.mounts[1]", request(`{"freeze":{"mounts":["/mnt",`+text("/mnt/"+h)+`]}}`))
		add("the volume "+text(h), "policy.volumes.excludeIds[0]", request(`{"volumes":{"excludeIds":[`+text("vol-0123456789abcdef0"+h)+`]}}`))
		add("the tag "+text(h), "policy.tags.owner", request(`{"tags":{"owner":`+text(h)+`}}`))
	}
	list = append(list,
		refusal{name: "a run of another form", run: "run.1", field: "run.id", input: w.request(policy.Default())},
		refusal{name: "a script that is not there", field: "policy.application.preScript", code: "ScriptUnsafe",
			input: scripts("/opt/nothing", w.writer.PostScript())},
		refusal{name: "another script that is not there", field: "policy.application.postScript", code: "ScriptUnsafe",
			input: scripts(w.writer.PreScript(), "/opt/nothing")},
	)
	return list
}

func TestBadInputTouchesNothing(t *testing.T) {
	t.Parallel()
	inWorld(t, setting{}, func(w *world) {
		for i, c := range refusals(w) {
			if c.run == "" {
				c.run = fmt.Sprintf("run-%d", i)
			}
			if c.code == "" {
				c.code = "InvalidInput"
			}
			before, _ := w.writer.Last(w.Context())
			record := w.wait(w.start(c.run, c.input))
			time.Sleep(3 * time.Second) // the janitor's way
			after, _ := w.writer.Last(w.Context())
			if after.N == before.N {
				t.Errorf("%s: the application does not write", c.name)
			}
			v := record.State.Verdict
			if got := strings.Join(record.States, " "); got != refused || v == nil {
				t.Errorf("%s: got the path %s", c.name, got)
				continue
			}
			if v.Outcome != run.OutcomeFailedClean || v.Code != c.code || !strings.Contains(v.Reason, c.field) {
				t.Errorf("%s: got %q %q because %q, want %s and the field %s", c.name, v.Outcome, v.Code, v.Reason, c.code, c.field)
			}
			heard := w.told.heard(c.run)
			heard = slices.DeleteFunc(heard, func(v protocol.Verb) bool { return v == protocol.DryRun || v == protocol.Thaw })
			if len(heard) > 0 {
				t.Errorf("%s: the instance was told %q", c.name, heard)
			}
			if got := w.published(c.run, events.TypeFailed); len(got) != 1 || got[0]["code"] != c.code {
				t.Errorf("%s: published %v", c.name, got)
			}
		}
		if n := len(w.snapshots()); n != 0 || w.frozen.Load() != 0 {
			t.Errorf("%d snapshots, and something stood frozen for %s", n, time.Duration(w.frozen.Load()))
		}
	})
}
