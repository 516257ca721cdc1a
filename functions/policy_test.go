package functions_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

func TestTheDefaultOptInIsTheTagOfTheTable(t *testing.T) {
	if got := policy.Default().OptIn; got != (policy.OptIn{Key: cloud.TagOptIn, Value: "true"}) {
		t.Errorf("got %+v", got)
	}
}

func TestPrecheckHonoursThePolicysOptIn(t *testing.T) {
	const request = `{"instanceId":"i-0abc12345678def90","policy":{"optIn":{"key":"backup","value":"yes"}}}`
	c := newCloud() // which carries the default tag alone
	_, err := plan(t, c, request)
	refused(t, err, fault.InstanceNotOptedIn, "")
	c.instance.Tags = map[string]string{"backup": "yes"}
	if _, err := plan(t, c, request); err != nil {
		t.Error(err)
	}
	_, err = plan(t, c, `{"instanceId":"i-0abc12345678def90","policy":{"optIn":{"key":"Name","value":""}}}`)
	refused(t, err, fault.InvalidInput, "")
	if !strings.Contains(err.Error(), "policy.optIn.value: wants") {
		t.Errorf("it names another field: %v", err)
	}
}

func TestPrecheckRefusesVSSBeforeAnythingIsTouched(t *testing.T) {
	c := newCloud()
	_, err := plan(t, c, `{"instanceId":"i-0abc12345678def90","policy":{"application":{"kind":"vss"}}}`)
	refused(t, err, fault.InvalidInput, "")
	if !strings.Contains(err.Error(), "policy.application.kind: is vss") {
		t.Errorf("it names another field: %v", err)
	}
	if len(c.calls) > 0 && c.calls[0] != "Publish" {
		t.Errorf("called %v", c.calls)
	}
	for _, mode := range []string{"vss", "diskshadow"} { // of a cloud that has neither
		_, err := plan(t, newCloud(), `{"instanceId":"i-0abc12345678def90","policy":{"mode":"`+mode+`","application":{"kind":"vss"}}}`)
		if refused(t, err, fault.InvalidInput, ""); !strings.Contains(err.Error(), "policy.mode: is "+mode+", which AWS alone has") {
			t.Errorf("%s: %v", mode, err)
		}
	}
}

func TestPrecheckWritesVariableTagsOut(t *testing.T) {
	got, err := plan(t, newCloud(), `{"instanceId":"i-0abc12345678def90","policy":{"name":"db","tags":{
		"Name":"$(policy) $(instance-id) $(timestamp)","run":"$(run-id)","plain":"x"}}}`)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"Name": "db i-0abc12345678def90 2026-01-02T03:04:05Z", "run": "run-1", "plain": "x"}
	if !maps.Equal(got.Policy.Tags, want) {
		t.Errorf("got %v, want %v", got.Policy.Tags, want)
	}
	if err := got.Policy.Check(); err != nil {
		t.Errorf("what is written is no longer a policy: %v", err)
	}
}
