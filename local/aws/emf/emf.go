// Package emf is what CloudWatch makes of a function's log: metrics in the
// Embedded Metric Format. CloudWatch drops in silence what breaks the format;
// this says so.
package emf

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Metric is one value list of one metric for one set of dimensions.
type Metric struct {
	Function   string
	At         time.Time
	Namespace  string
	Name       string
	Unit       string
	Resolution int
	Values     []float64
	Dimensions map[string]string
}

// Capture collects metrics from log lines. Its zero value is ready, and it is
// safe for concurrent use.
type Capture struct {
	mu       sync.Mutex
	metrics  []Metric
	problems []string
}

// Metrics returns everything captured so far.
func (c *Capture) Metrics() []Metric {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.metrics)
}

// Values returns the values of one metric so far, over all dimensions but each
// value once.
func (c *Capture) Values(name string) []float64 {
	var all []float64
	for _, m := range c.Metrics() {
		if m.Name == name {
			all = append(all, m.Values...)
		}
	}
	return all
}

// Problems lists what CloudWatch would have dropped, and why.
func (c *Capture) Problems() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.problems)
}

// Writer captures what one function writes, line by line. Each write must hold
// whole lines, as a logger's does.
func (c *Capture) Writer(function string) io.Writer { return writer{c, function} }

type writer struct {
	capture  *Capture
	function string
}

func (w writer) Write(p []byte) (int, error) {
	for line := range bytes.Lines(p) {
		w.capture.Line(w.function, bytes.TrimSpace(line))
	}
	return len(p), nil
}

const maxEvent = 1 << 20

// Line reads one log line; one without metrics is no concern of it.
func (c *Capture) Line(function string, line []byte) {
	var doc map[string]json.RawMessage
	if len(line) == 0 || line[0] != '{' || json.Unmarshal(line, &doc) != nil || doc["_aws"] == nil {
		return
	}
	metrics, err := parse(function, doc)
	if len(line) > maxEvent {
		err = errors.Join(err, fmt.Errorf("the event has %d bytes, more than 1 MB", len(line)))
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		c.problems = append(c.problems, fmt.Sprintf("%s: %v: %.200s", function, err, line))
		return
	}
	c.metrics = append(c.metrics, metrics...)
}

type directive struct {
	Namespace  string
	Dimensions [][]string
	Metrics    []struct {
		Name              string
		Unit              string
		StorageResolution int
	}
}

func parse(function string, doc map[string]json.RawMessage) ([]Metric, error) {
	var aws struct {
		Timestamp         *int64
		CloudWatchMetrics []directive
	}
	if err := json.Unmarshal(doc["_aws"], &aws); err != nil {
		return nil, fmt.Errorf("_aws: %w", err)
	}
	if aws.Timestamp == nil {
		return nil, errors.New("_aws.Timestamp is missing")
	}
	at := time.UnixMilli(*aws.Timestamp)
	if age := time.Since(at); age > 14*24*time.Hour || age < -2*time.Hour {
		return nil, fmt.Errorf("_aws.Timestamp is %s: older than 14 days or more than 2 hours ahead", at.UTC())
	}
	var all []Metric
	for _, d := range aws.CloudWatchMetrics {
		metrics, err := d.read(doc)
		if err != nil {
			return nil, err
		}
		for _, m := range metrics {
			m.Function, m.At = function, at
			all = append(all, m)
		}
	}
	return all, nil
}

func (d directive) read(doc map[string]json.RawMessage) ([]Metric, error) {
	switch {
	case d.Namespace == "" || len(d.Namespace) > 1024:
		return nil, fmt.Errorf("the Namespace has %d characters, want 1 to 1024", len(d.Namespace))
	case strings.HasPrefix(d.Namespace, "AWS/"):
		return nil, fmt.Errorf("the Namespace %s is reserved", d.Namespace)
	case len(d.Dimensions) == 0:
		return nil, errors.New("the Dimensions are missing")
	case len(d.Metrics) > 100:
		return nil, fmt.Errorf("%d metrics in one directive, more than 100", len(d.Metrics))
	}
	var all []Metric
	for _, set := range d.Dimensions {
		dimensions, err := read(set, doc)
		if err != nil {
			return nil, err
		}
		for _, m := range d.Metrics {
			values, err := numbers(m.Name, doc[m.Name])
			if err != nil {
				return nil, err
			}
			if m.Unit == "" {
				m.Unit = "None"
			}
			if !slices.Contains(units, m.Unit) {
				return nil, fmt.Errorf("metric %s: no unit %q", m.Name, m.Unit)
			}
			if m.StorageResolution == 0 {
				m.StorageResolution = 60
			}
			if m.StorageResolution != 1 && m.StorageResolution != 60 {
				return nil, fmt.Errorf("metric %s: StorageResolution %d, want 1 or 60", m.Name, m.StorageResolution)
			}
			all = append(all, Metric{
				Namespace: d.Namespace, Name: m.Name, Unit: m.Unit, Resolution: m.StorageResolution, Values: values, Dimensions: dimensions,
			})
		}
	}
	return all, nil
}

// read looks a dimension set's values up: they are members of the same event.
func read(set []string, doc map[string]json.RawMessage) (map[string]string, error) {
	if len(set) > 30 {
		return nil, fmt.Errorf("%d dimensions in a set, more than 30", len(set))
	}
	dimensions := make(map[string]string)
	for _, name := range set {
		var v string
		if err := json.Unmarshal(doc[name], &v); doc[name] == nil || err != nil {
			return nil, fmt.Errorf("dimension %s has no text in the event", name)
		}
		if v == "" || len(v) > 1024 || len(name) > 250 {
			return nil, fmt.Errorf("dimension %s: name or value is empty or too long", name)
		}
		dimensions[name] = v
	}
	return dimensions, nil
}

func numbers(name string, raw json.RawMessage) ([]float64, error) {
	if name == "" || len(name) > 1024 {
		return nil, fmt.Errorf("a metric's name has %d characters, want 1 to 1024", len(name))
	}
	var one float64
	var many []float64
	switch {
	case raw == nil || string(raw) == "null":
		return nil, fmt.Errorf("metric %s has no value in the event", name)
	case json.Unmarshal(raw, &one) == nil:
		return []float64{one}, nil
	case json.Unmarshal(raw, &many) != nil:
		return nil, fmt.Errorf("metric %s is no number and no list of numbers", name)
	case len(many) > 100:
		return nil, fmt.Errorf("metric %s has %d values, more than 100", name, len(many))
	}
	return many, nil
}

var units = func() []string {
	all := []string{"Seconds", "Microseconds", "Milliseconds", "Percent", "Count", "Count/Second", "None"}
	for _, size := range []string{"", "Kilo", "Mega", "Giga", "Tera"} {
		for _, unit := range []string{"Bytes", "Bits"} {
			name := size + strings.ToLower(unit)
			if size == "" {
				name = unit
			}
			all = append(all, name, name+"/Second")
		}
	}
	return all
}()
