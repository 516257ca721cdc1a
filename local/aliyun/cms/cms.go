// Package cms is the emulated CloudMonitor, as far as custom metrics go.
package cms

import (
	"context"
	"encoding/json"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Metric is one value as it was put.
type Metric struct {
	Name       string
	Group      string
	Dimensions map[string]string
	Type       string // 0 raw, 1 aggregated
	Period     int
	Values     map[string]float64
	Time       string
}

// CMS is the emulated service.
type CMS struct {
	mu      sync.Mutex
	metrics []Metric
}

// New makes a CloudMonitor without metrics.
func New() *CMS { return &CMS{} }

// Metrics returns what was put so far, in order.
func (m *CMS) Metrics() []Metric {
	m.mu.Lock()
	defer m.mu.Unlock()
	return slices.Clone(m.metrics)
}

// Protocol is that of every RPC service.
func (m *CMS) Protocol() wire.Protocol { return rpc.Protocol }

// Limit is that of a large Region.
func (m *CMS) Limit(*wire.Call) (string, wire.Limit) {
	return "PutCustomMetric", wire.Limit{Capacity: 200, Refill: 200}
}

// maxList is the API page's limit; the overview's is higher.
const maxList = 21

// Do has the effect of one call. A metric that is not valid is refused by the
// code in the body, with the HTTP status of success.
func (m *CMS) Do(_ context.Context, c *wire.Call) (wire.Reply, error) {
	if c.Action != "PutCustomMetric" {
		return wire.Reply{}, wire.Errorf(404, "InvalidAction.NotFound", "Specified api is not found: %s", c.Action)
	}
	p := rpc.Params(c.Form)
	var list []Metric
	for i := 1; p.Text("MetricList."+strconv.Itoa(i)+".MetricName") != ""; i++ {
		metric, problem := read(p, "MetricList."+strconv.Itoa(i)+".")
		if problem != "" {
			return rpc.Answer(c, map[string]any{"Code": "400", "Message": problem})
		}
		list = append(list, metric)
	}
	if len(list) == 0 || len(list) > maxList {
		return rpc.Answer(c, map[string]any{"Code": "400", "Message": "MetricList holds 1-21 metrics"})
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.metrics = append(m.metrics, list...)
	return rpc.Answer(c, map[string]any{"Code": "200", "Message": "success"})
}

var name = regexp.MustCompile(`^[A-Za-z]\w{0,63}$`)

func read(p rpc.Params, at string) (Metric, string) {
	m := Metric{Name: p.Text(at + "MetricName"), Group: p.Text(at + "GroupId"), Type: p.Text(at + "Type"), Time: p.Text(at + "Time")}
	switch {
	case !name.MatchString(m.Name):
		return m, "MetricName is not valid"
	case m.Group == "":
		return m, "GroupId is missing"
	case m.Type != "0" && m.Type != "1":
		return m, "Type is 0 or 1"
	case json.Unmarshal([]byte(p.Text(at+"Values")), &m.Values) != nil || len(m.Values) == 0:
		return m, "Values is no JSON object of numbers"
	case json.Unmarshal([]byte(p.Text(at+"Dimensions")), &m.Dimensions) != nil || len(m.Dimensions) > 10:
		return m, "Dimensions is no JSON object of at most ten strings"
	}
	for _, v := range m.Dimensions {
		if strings.ContainsAny(v, "=&,") {
			return m, "Dimensions holds one of =&,"
		}
	}
	if _, err := strconv.ParseInt(m.Time, 10, 64); err != nil {
		return m, "Time wants milliseconds"
	}
	if m.Type == "1" {
		if m.Period, _ = strconv.Atoi(p.Text(at + "Period")); m.Period != 60 && m.Period != 300 {
			return m, "Period is 60 or 300"
		}
	}
	return m, ""
}
