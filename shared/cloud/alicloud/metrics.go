package alicloud

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/aliyun/alibaba-cloud-sdk-go/services/cms"

	"github.com/quiesce/quiesce/shared/fault"
)

// CloudMonitor's limits on one PutCustomMetric, of which two pages say
// different things: the lower ones.
const (
	maxMetrics    = 20
	maxDimensions = 10
	maxDimension  = 64 // of a value
)

// Meter takes the metric lines of a function's log, as CloudWatch reads them
// out of one, and puts them as custom metrics of CloudMonitor, which reads no
// log. Its Write is what telemetry writes to; Flush makes the calls, after the
// step has answered.
type Meter struct {
	provider *Provider

	mu      sync.Mutex
	waiting []cms.PutCustomMetricMetricList
}

// Meter makes one for an invocation or for a process.
func (p *Provider) Meter() *Meter { return &Meter{provider: p} }

// Write takes one line in the Embedded Metric Format.
func (m *Meter) Write(line []byte) (int, error) {
	values, err := readMetrics(line)
	if err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.waiting = append(m.waiting, values...)
	return len(line), nil
}

// readMetrics makes raw values of a line: their sums over functions and minutes
// are CloudMonitor's to make.
func readMetrics(line []byte) ([]cms.PutCustomMetricMetricList, error) {
	var head struct {
		AWS struct {
			Timestamp         int64
			CloudWatchMetrics []struct {
				Dimensions [][]string
				Metrics    []struct{ Name string }
			}
		} `json:"_aws"`
	}
	var fields map[string]any
	if err := json.Unmarshal(line, &head); err != nil {
		return nil, fmt.Errorf("a line of metrics: %w", err)
	}
	if err := json.Unmarshal(line, &fields); err != nil {
		return nil, fmt.Errorf("a line of metrics: %w", err)
	}
	var all []cms.PutCustomMetricMetricList
	for _, d := range head.AWS.CloudWatchMetrics {
		for _, names := range d.Dimensions {
			dimensions, err := dimensionsOf(names, fields)
			if err != nil {
				return nil, err
			}
			for _, metric := range d.Metrics {
				value, ok := fields[metric.Name].(float64)
				if !ok {
					return nil, fmt.Errorf("a line of metrics: %s is no number", metric.Name)
				}
				all = append(all, cms.PutCustomMetricMetricList{
					GroupId: "0", MetricName: metric.Name, Dimensions: dimensions, Type: "0",
					Values: `{"value":` + strconv.FormatFloat(value, 'f', -1, 64) + `}`, Time: strconv.FormatInt(head.AWS.Timestamp, 10),
				})
			}
		}
	}
	return all, nil
}

// plainDimension takes out of a value what would end it.
var plainDimension = strings.NewReplacer("=", "_", "&", "_", ",", "_")

func dimensionsOf(names []string, fields map[string]any) (string, error) {
	if len(names) > maxDimensions {
		return "", fmt.Errorf("a line of metrics: %d dimensions, of %d that there may be", len(names), maxDimensions)
	}
	values := map[string]string{}
	for _, name := range names {
		text, ok := fields[name].(string)
		if !ok {
			return "", fmt.Errorf("a line of metrics: the dimension %s is no text", name)
		}
		values[name] = clip(plainDimension.Replace(text), maxDimension)
	}
	doc, err := json.Marshal(values)
	return string(doc), err
}

// Flush puts what was written since the last time. A value that could not be
// put is lost: metrics must not fail a step. Codes: AccessDenied, Throttled,
// Unavailable, Internal.
func (m *Meter) Flush(ctx context.Context) error {
	m.mu.Lock()
	waiting := m.waiting
	m.waiting = nil
	m.mu.Unlock()
	for batch := range slices.Chunk(waiting, maxMetrics) {
		request, response := cms.CreatePutCustomMetricRequest(), cms.CreatePutCustomMetricResponse()
		request.MetricList = &batch
		if err := m.provider.call(ctx, "cms", request, response); err != nil {
			return translate(err, "put %d metrics", len(batch))
		}
		if response.Code != "200" { // it says so with the status of success
			return fault.New(fault.Internal, "put %d metrics (%s): %s: %s", len(batch), names(batch), response.Code, scrub(response.Message))
		}
	}
	return nil
}

func names(batch []cms.PutCustomMetricMetricList) string {
	seen := map[string]bool{}
	for _, m := range batch {
		seen[m.MetricName] = true
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
}
