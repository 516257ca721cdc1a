package functions_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions/runprescript"
	"github.com/quiesce/quiesce/functions/tag"
	"github.com/quiesce/quiesce/functions/thaw"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/document"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

func byDocument(retries int) run.Plan {
	p := aPlan()
	p.Policy.Application = policy.Application{Kind: policy.ByDocument, Document: "Ledger", TimeoutSeconds: 10, Retries: retries}
	return p
}

// ending lets each command of the document end with the codes given for it in
// turn, the last one from then on; 0 where there are none. -1 is refused.
func ending(codes map[string][]int) func(cloud.DocumentCommand) cloud.Result {
	next := map[string]int{}
	return func(cmd cloud.DocumentCommand) cloud.Result {
		command := cmd.Parameters["command"]
		list := codes[command]
		if len(list) == 0 {
			return cloud.Result{Done: true, Status: "Success"}
		}
		code := list[min(next[command], len(list)-1)]
		next[command]++
		switch {
		case code < 0:
			return cloud.Result{Status: "Refused"}
		case code == 137:
			return cloud.Result{Done: true, TimedOut: true, ExitCode: code, Status: "ExecutionTimedOut"}
		case code > 0:
			return cloud.Result{Done: true, Status: "Failed", ExitCode: code}
		}
		return cloud.Result{Done: true, Status: "Success"}
	}
}

// documents are the commands that were sent.
func (c *fakeCloud) commands() (list []string) {
	for _, d := range c.documents {
		list = append(list, d.Parameters["command"])
	}
	return list
}

func TestPrecheckLooksAtTheDocument(t *testing.T) {
	without := func(name string) func(*cloud.Document) {
		return func(d *cloud.Document) { delete(d.Parameters, name) }
	}
	for _, tt := range []struct {
		name   string
		policy string
		with   func(*fakeCloud, *cloud.Document)
		code   fault.Code // empty: there is a plan
		says   string
		dry    bool
	}{
		{"as published", "", func(*fakeCloud, *cloud.Document) {}, "", "", true},
		{"without a dry run", "", func(_ *fakeCloud, d *cloud.Document) {
			d.Parameters["command"] = cloud.Parameter{Allowed: []string{"pre-script", "post-script"}}
		}, "", "", false},
		{"a dry run that is not known to be one", "", func(_ *fakeCloud, d *cloud.Document) {
			d.Parameters["command"] = cloud.Parameter{}
		}, "", "", false},
		{"no such document", "", func(c *fakeCloud, _ *cloud.Document) {
			c.document = func(string) (cloud.Document, error) { return cloud.Document{}, fault.New(fault.CommandFailed, "none") }
		}, fault.InvalidInput, "policy.application.document: names Ledger, which cannot be had", false},
		{"one that may not be read", "", func(c *fakeCloud, _ *cloud.Document) {
			c.document = func(string) (cloud.Document, error) { return cloud.Document{}, fault.New(fault.AccessDenied, "no") }
		}, fault.AccessDenied, "", false},
		{"an automation", "", func(_ *fakeCloud, d *cloud.Document) { d.Command = false }, fault.InvalidInput, "type Command", false},
		{"no parameter command", "", func(_ *fakeCloud, d *cloud.Document) { without("command")(d) }, fault.InvalidInput, "policy.application.document: names Ledger, which has no parameter command", false},
		{"no parameter executionId", "", func(_ *fakeCloud, d *cloud.Document) { without("executionId")(d) }, fault.InvalidInput, "no parameter executionId", false},
		{"a command that is not allowed", "", func(_ *fakeCloud, d *cloud.Document) {
			d.Parameters["command"] = cloud.Parameter{Allowed: []string{"pre-script"}}
		}, fault.InvalidInput, `does not allow "post-script"`, false},
		{"another form of execution ids", "", func(_ *fakeCloud, d *cloud.Document) {
			d.Parameters["executionId"] = cloud.Parameter{Pattern: "^[0-9]+$"}
		}, fault.InvalidInput, "executionId does not allow", false},
		{"a parameter that nobody gives", "", func(_ *fakeCloud, d *cloud.Document) { d.Parameters["database"] = cloud.Parameter{} }, fault.InvalidInput, "database has no default", false},
		{"not ready, and less will do", "", func(c *fakeCloud, _ *cloud.Document) { c.ends = ending(map[string][]int{"dry-run": {206}}) }, "", "not ready", true},
		{"not ready, and less will not do", `,"onFailure":"fail"`, func(c *fakeCloud, _ *cloud.Document) {
			c.ends = ending(map[string][]int{"dry-run": {206}})
		}, fault.ApplicationNotReady, "not ready", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, d := newCloud(), dlm()
			c.document = func(name string) (cloud.Document, error) {
				if name != "Ledger" {
					t.Errorf("it looked for %s", name)
				}
				return d, nil
			}
			tt.with(c, &d)
			got, err := plan(t, c, `{"instanceId":"i-0abc12345678def90","policy":{"application":{"kind":"document","document":"Ledger"}`+tt.policy+`}}`)
			if sent := slices.Equal(c.commands(), []string{"dry-run"}); sent != tt.dry || !sent && len(c.documents) > 0 {
				t.Errorf("it sent %v", c.commands())
			}
			if tt.code != "" {
				refusedFor(t, err, tt.code, tt.says)
				return
			}
			if err != nil || !strings.Contains(strings.Join(got.Warnings, "\n"), tt.says) {
				t.Errorf("got %q, %v; want %q", got.Warnings, err, tt.says)
			}
		})
	}
}

func TestPreScriptOfADocument(t *testing.T) {
	const pre, post = "pre-script", "post-script"
	for _, tt := range []struct {
		name    string
		retries int
		codes   map[string][]int
		code    fault.Code
		sent    []string
	}{
		{"succeeds", 0, nil, "", []string{pre}},
		{"fails, and is undone at once", 0, map[string][]int{pre: {201}}, fault.ScriptFailed, []string{pre, post}},
		{"another failure", 0, map[string][]int{pre: {7}}, fault.ScriptFailed, []string{pre, post}},
		{"found something frozen, after it may have frozen the rest", 0, map[string][]int{pre: {204}}, fault.AlreadyFrozen, []string{pre, post}},
		{"not ready", 0, map[string][]int{pre: {206}}, fault.ApplicationNotReady, []string{pre, post}},
		{"killed", 0, map[string][]int{pre: {137}}, fault.ScriptTimedOut, []string{pre, post}},
		{"a code that only a post-script has", 0, map[string][]int{pre: {205}}, fault.ScriptFailed, []string{pre, post}},
		{"succeeds at the second attempt", 3, map[string][]int{pre: {206, 0}}, "", []string{pre, post, pre}},
		{"fails to the last", 2, map[string][]int{pre: {201}}, fault.ScriptFailed, []string{pre, post, pre, post, pre, post}},
		{"is refused, and nothing is owed", 3, map[string][]int{pre: {-1}}, fault.AccessDenied, []string{pre}},
		{"is refused only at the second attempt", 3, map[string][]int{pre: {201, -1}}, fault.ScriptFailed, []string{pre, post, pre}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newCloud()
				c.helper, c.ends = opened, ending(tt.codes)
				got, err := do[run.Prescript](t, c, "run-prescript", runprescript.Input{Plan: byDocument(tt.retries)})
				if code := fault.CodeOf(err); code != tt.code {
					t.Errorf("got %v (%s), want %s", err, code, tt.code)
				}
				if !slices.Equal(c.commands(), tt.sent) {
					t.Errorf("sent %v, want %v", c.commands(), tt.sent)
				}
				if err == nil && (!got.Quiesced || got.Document.ExitCode != 0 || got.Document.ExecutionID != document.ExecutionID("run-1")) {
					t.Errorf("got %+v", got.Document)
				}
			})
		})
	}
}

// A pre-script that a janitor overtook holds an application that nobody else
// would let go.
func TestPreScriptThatAJanitorOvertook(t *testing.T) {
	for name, ended := range map[string]func(*protocol.Reply){
		"the session is over": func(r *protocol.Reply) { r.Evidence.Phase = protocol.Released },
		"the helper is gone": func(r *protocol.Reply) {
			r.Evidence, r.Error = nil, &protocol.Failure{Code: fault.CommandFailed, Message: "no such file"}
		},
		"the session is gone": func(r *protocol.Reply) {
			r.Evidence, r.Error = nil, &protocol.Failure{Code: fault.NoSession, Message: "none"}
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud()
			c.helper = func(cmd cloud.Command, r protocol.Request) protocol.Reply {
				reply := opened(cmd, r)
				if r.Verb == protocol.Status {
					ended(&reply)
				}
				return reply
			}
			_, err := do[run.Prescript](t, c, "run-prescript", runprescript.Input{Plan: byDocument(0)})
			refused(t, err, fault.NoSession, "")
			if want := []string{"pre-script", "post-script"}; !slices.Equal(c.commands(), want) {
				t.Errorf("sent %v, want %v", c.commands(), want)
			}
		})
	}
}

// Where nobody comes after the janitor, a post-script that fails is told of.
func TestTheJanitorTellsOfAPostScriptThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCloud()
		c.helper, c.ends = opened, ending(map[string][]int{"post-script": {202}})
		_, err := do[run.Thaw](t, c, "thaw", `{"run":{"id":"run-1"},"plan":null,"ended":{"status":"ABORTED"},
			"request":{"instanceId":"i-0abc12345678def90","policy":{"application":{"kind":"document","document":"Ledger"}}}}`)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(c.bus, func(e events.Event) bool { return e.Type == events.TypeThawFailed }) {
			t.Errorf("published %+v", c.bus)
		}
	})
}

// A session that another run keeps out sends nothing to the application that
// this one holds, and neither does its thaw.
func TestADocumentIsNotSentIntoAnotherRun(t *testing.T) {
	c := newCloud()
	c.refuse(protocol.Begin, protocol.Failure{Code: fault.RunInProgress, Message: "held by run-0"})
	_, err := do[run.Prescript](t, c, "run-prescript", runprescript.Input{Plan: byDocument(3)})
	refused(t, err, fault.RunInProgress, "")
	c.refuse(protocol.Thaw, protocol.Failure{Code: fault.NoSession, Message: "none"})
	plan := byDocument(0)
	got, err := do[run.Thaw](t, c, "thaw", thaw.Input{Plan: &plan, Failures: run.Failures{RunPrescript: &run.Failure{Error: "RunInProgress"}}})
	if err != nil || got.Document != nil || len(c.documents) > 0 {
		t.Errorf("sent %v: %+v, %v", c.commands(), got.Document, err)
	}
}

// opened is a helper whose session was opened for a document.
func opened(_ cloud.Command, r protocol.Request) protocol.Reply {
	reply := answer(r, mounts...)
	if reply.Evidence != nil {
		reply.Evidence.Phase = protocol.Quiesced
		reply.Evidence.Application = &protocol.ApplicationEvidence{Kind: policy.ByDocument}
	}
	return reply
}

// The post-script is owed on every path on which the pre-script may have been
// sent; what it answers decides whether the application counts as let go.
func TestPostScriptOfADocument(t *testing.T) {
	const post = "post-script"
	quiesced := &run.Prescript{Document: &run.Document{ExecutionID: document.ExecutionID("run-1")}}
	for _, tt := range []struct {
		name    string
		in      func(*thaw.Input)
		retries int
		codes   []int
		sent    int
		code    fault.Code // of the post-script
		letGo   bool
	}{
		{"after a set", func(in *thaw.Input) { in.Prescript, in.Set = quiesced, &run.Set{Hold: "hold-1"} }, 0, nil, 1, "", true},
		{"after a pre-script that failed", func(in *thaw.Input) { in.Failures.RunPrescript = &run.Failure{Error: "ScriptFailed"} }, 0, nil, 1, "", true},
		{"after one that found something frozen", func(in *thaw.Input) { in.Failures.RunPrescript = &run.Failure{Error: "AlreadyFrozen"} }, 0, nil, 1, "", true},
		{"after one that nobody heard of", func(in *thaw.Input) { in.Failures.RunPrescript = &run.Failure{Error: "States.Timeout"} }, 0, nil, 1, "", true},
		{"not after one that was refused", func(in *thaw.Input) { in.Failures.RunPrescript = &run.Failure{Error: "AccessDenied"} }, 0, nil, 0, "", true},
		{"it had let go by itself", func(in *thaw.Input) { in.Prescript = quiesced }, 3, []int{203}, 1, fault.HoldLost, true},
		{"it was let go already", func(in *thaw.Input) { in.Prescript = quiesced }, 3, []int{205}, 1, fault.AlreadyThawed, true},
		{"it fails once", func(in *thaw.Input) { in.Prescript = quiesced }, 1, []int{202, 0}, 2, "", true},
		{"it fails for good", func(in *thaw.Input) { in.Prescript = quiesced }, 2, []int{202}, 3, fault.ScriptFailed, false},
		{"it is killed", func(in *thaw.Input) { in.Prescript = quiesced }, 0, []int{137}, 1, fault.ScriptTimedOut, false},
		{"it is refused", func(in *thaw.Input) { in.Prescript = quiesced }, 3, []int{-1}, 1, fault.AccessDenied, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, plan := newCloud(), byDocument(tt.retries)
				c.helper, c.ends = opened, ending(map[string][]int{post: tt.codes})
				in := thaw.Input{Plan: &plan}
				tt.in(&in)
				got, err := do[run.Thaw](t, c, "thaw", in)
				if err != nil {
					t.Fatal(err)
				}
				if len(c.documents) != tt.sent || slices.ContainsFunc(c.documents, func(d cloud.DocumentCommand) bool {
					return d.Parameters["command"] != post || d.Parameters["executionId"] != document.ExecutionID("run-1")
				}) {
					t.Errorf("sent %+v, want %d", c.documents, tt.sent)
				}
				if tt.sent == 0 {
					return
				}
				if f := got.Document.Error; fault.CodeOf(f.Err()) != tt.code || got.Document.LetGo() != tt.letGo {
					t.Errorf("got %+v, let go %t", got.Document, got.Document.LetGo())
				}
				verdict := tag.Conclude(run.State{Plan: &plan, Thaw: &got})
				if dirty := verdict.Outcome == run.OutcomeFailedDirty; dirty == tt.letGo {
					t.Errorf("it ended %s: %s", verdict.Outcome, verdict.Reason)
				}
			})
		})
	}
}

// A thaw that failed has the application let go all the same.
func TestPostScriptAfterAThawThatFailed(t *testing.T) {
	c, plan := newCloud(), byDocument(0)
	c.helper = func(cmd cloud.Command, r protocol.Request) protocol.Reply {
		reply := opened(cmd, r)
		reply.Error = &protocol.Failure{Code: fault.ThawFailed, Message: "hangs"}
		return reply
	}
	_, err := do[run.Thaw](t, c, "thaw", thaw.Input{Plan: &plan})
	refused(t, err, fault.ThawFailed, "")
	if !slices.Equal(c.commands(), []string{"post-script"}) {
		t.Errorf("sent %v", c.commands())
	}
}

// A janitor knows what the execution was started with, and the instance that a
// document was in play.
func TestTheJanitorSendsThePostScript(t *testing.T) {
	for name, owed := range map[string]bool{"Ledger": true, "no document; $(reboot)": false} {
		c := newCloud()
		c.helper = func(cmd cloud.Command, r protocol.Request) protocol.Reply {
			if !owed { // its run was refused, so that nothing knows of it
				reply := answer(r)
				reply.Error = &protocol.Failure{Code: fault.NoSession, Message: "none"}
				return reply
			}
			return opened(cmd, r)
		}
		request, err := json.Marshal(map[string]any{"instanceId": "i-0abc12345678def90", "policy": map[string]any{
			"application": map[string]any{"kind": "document", "document": name},
		}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := do[run.Thaw](t, c, "thaw", `{"run":{"id":"run-1"},"request":`+string(request)+`,"plan":null,"ended":{"status":"FAILED","error":"FailedDirty"}}`); err != nil {
			t.Fatal(err)
		}
		if sent := slices.Equal(c.commands(), []string{"post-script"}); sent != owed || !owed && len(c.documents) > 0 {
			t.Errorf("%s: sent %v", name, c.commands())
		}
	}
}
