package emf_test

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/quiesce/quiesce/local/aws/emf"
)

const good = `{"_aws":{"Timestamp":%d,"CloudWatchMetrics":[{"Namespace":"Quiesce","Dimensions":[["policy","step"],[]],` +
	`"Metrics":[{"Name":"StepDuration","Unit":"Milliseconds"}]}]},"policy":"nightly","step":"freeze","StepDuration":[1,2.5]}`

func TestCapture(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := fmt.Sprintf(good, time.Now().UnixMilli())
		var c emf.Capture
		c.Line("freeze", []byte("not JSON"))
		c.Line("freeze", []byte(`{"level":"INFO"}`))
		_, _ = c.Writer("freeze").Write([]byte(line + "\n{}\n"))
		got := c.Metrics()
		if len(got) != 2 || got[0].Dimensions["policy"] != "nightly" || got[0].Unit != "Milliseconds" || got[0].Values[1] != 2.5 || len(got[1].Dimensions) != 0 {
			t.Errorf("got %+v", got)
		}
		if p := c.Problems(); len(p) != 0 {
			t.Errorf("problems: %v", p)
		}
		for change, want := range map[[2]string]string{
			{`"Namespace":"Quiesce"`, `"Namespace":"AWS/EBS"`}:        "reserved",
			{`"Timestamp"`, `"Time"`}:                                 "Timestamp is missing",
			{`"Unit":"Milliseconds"`, `"Unit":"ms"`}:                  "no unit",
			{`"StepDuration":[1,2.5]`, `"StepDuration":"fast"`}:       "no number",
			{`"StepDuration":[1,2.5]`, `"Other":1`}:                   "no value",
			{`"step":"freeze"`, `"step":7`}:                           "has no text",
			{`"step":"freeze"`, `"step":""`}:                          "empty",
			{`[1,2.5]`, "[1" + strings.Repeat(",1", 100) + "]"}:       "more than 100",
			{`"Unit":"Milliseconds"`, `"StorageResolution":5`}:        "StorageResolution",
			{`"Dimensions":[["policy","step"],[]]`, `"Dimensions":0`}: "_aws",
		} {
			var c emf.Capture
			c.Line("f", []byte(strings.Replace(line, change[0], change[1], 1)))
			if p := c.Problems(); len(p) != 1 || !strings.Contains(p[0], want) || len(c.Metrics()) != 0 {
				t.Errorf("%s: got %q, want a problem with %q", change[1], p, want)
			}
		}
	})
}
