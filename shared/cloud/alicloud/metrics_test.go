package alicloud

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/telemetry"
)

const aLine = `{"_aws":{"Timestamp":1772337600000,"CloudWatchMetrics":[{"Namespace":"Quiesce","Dimensions":[["policy","step"]],
	"Metrics":[{"Name":"FrozenWindow","Unit":"Milliseconds"}]}]},"policy":"a=b,c&d","step":"tag","run":"r1","FrozenWindow":431.5}`

func TestMeter(t *testing.T) {
	p, w := against(inTurn(response{body: `{"Code":"200","Message":"success"}`}))
	m := p.Meter()
	if _, err := m.Write([]byte(aLine)); err != nil {
		t.Fatal(err)
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	q := w.seen[0].URL.Query()
	for name, want := range map[string]string{
		"Action": "PutCustomMetric", "MetricList.1.MetricName": "FrozenWindow", "MetricList.1.GroupId": "0", "MetricList.1.Type": "0",
		"MetricList.1.Values": `{"value":431.5}`, "MetricList.1.Time": "1772337600000", "MetricList.1.Dimensions": `{"policy":"a_b_c_d","step":"tag"}`,
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if err := m.Flush(t.Context()); err != nil || len(w.seen) != 1 {
		t.Errorf("an empty meter made %d calls, %v", len(w.seen)-1, err)
	}
}

// What telemetry writes is what the meter reads, in batches that are taken.
func TestMeterInBatches(t *testing.T) {
	p, w := against(inTurn(response{body: `{"Code":"200"}`}))
	m := p.Meter()
	log := telemetry.NewMetrics(m)
	for i := range 45 {
		log.Emit("nightly", "tag", fmt.Sprint("r", i), telemetry.Count(telemetry.SetCompleted))
	}
	if err := m.Flush(t.Context()); err != nil {
		t.Fatal(err)
	}
	var sizes []int
	for _, r := range w.seen {
		sizes = append(sizes, strings.Count(r.URL.RawQuery, ".MetricName="))
	}
	if got, want := fmt.Sprint(sizes), "[20 20 5]"; got != want {
		t.Errorf("got batches of %s, want %s", got, want)
	}
}

func TestMeterFails(t *testing.T) {
	for name, c := range map[string]struct {
		answer response
		want   fault.Code
	}{
		"refused in the body": {response{body: `{"Code":"400","Message":"Time is wrong"}`}, fault.Internal},
		"denied":              {refused(http.StatusForbidden, "Forbidden.RAM"), fault.AccessDenied},
	} {
		p, _ := against(inTurn(c.answer))
		m := p.Meter()
		if _, err := m.Write([]byte(aLine)); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { wantCode(t, m.Flush(t.Context()), c.want) })
	}
	p, _ := against(nil)
	for _, line := range []string{"no JSON", strings.Replace(aLine, "431.5", `"x"`, 1), strings.Replace(aLine, `"step":"tag",`, "", 1)} {
		if _, err := p.Meter().Write([]byte(line)); err == nil {
			t.Errorf("%s was taken", line)
		}
	}
}
