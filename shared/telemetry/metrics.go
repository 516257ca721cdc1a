// Package telemetry tells what steps did: metrics as log lines in CloudWatch's
// Embedded Metric Format, which cost no call, and events on the bus.
package telemetry

import (
	"encoding/json"
	"io"
	"sync"
	"time"
)

// Namespace of every metric.
const Namespace = "Quiesce"

// Metric names, as the alarms know them.
const (
	StepDuration       = "StepDuration"
	StepFailed         = "StepFailed"
	FrozenWindow       = "FrozenWindow"
	ApplicationPause   = "ApplicationPause"
	SetStarted         = "SetStarted"
	SetCompleted       = "SetCompleted"
	SetDegraded        = "SetDegraded"
	SetFailed          = "SetFailed"
	AutoThawed         = "AutoThawed"
	ThawFailed         = "ThawFailed"
	PreScriptStarted   = "PreScriptStarted"
	PreScriptCompleted = "PreScriptCompleted"
	PreScriptFailed    = "PreScriptFailed"
	PostScriptStarted  = "PostScriptStarted"
	PostScriptDone     = "PostScriptCompleted"
	PostScriptFailed   = "PostScriptFailed"
	FleetInstances     = "FleetInstances"
	FleetFailed        = "FleetFailed"   // instances of it
	FleetDuration      = "FleetDuration" // in milliseconds
	SetsKept           = "SetsKept"
	SetsDeleted        = "SetsDeleted"
	SetsOrphaned       = "SetsOrphaned"
	SetsCopied         = "SetsCopied"
	CopiesWaiting      = "CopiesWaiting"
	CurationFailed     = "CurationFailed"

	RestoreTestSuccessful = "RestoreTestSuccessful"
	RestoreTestFailed     = "RestoreTestFailed"
	RestoreTestTimedOut   = "RestoreTestTimedOut"
	RestoreTestNotDone    = "RestoreTestNotDone"     // it was refused, or could not be carried out
	RestoreTestRecovery   = "RestoreTestRecovery"    // in seconds
	RestoreTestLeft       = "RestoreTestScratchLeft" // disks of a test that are there after it
	RestoreCompleted      = "RestoreCompleted"
	RestoreFailed         = "RestoreFailed"
	RestoreDirty          = "RestoreDirty"
	RestoreDuration       = "RestoreDuration" // in milliseconds
	RestoreRecovery       = "RestoreRecovery" // in seconds
)

// Metric is one value; Unit is CloudWatch's word, Count when empty.
type Metric struct {
	Name  string
	Unit  string
	Value float64
}

// Count is a metric of one occurrence.
func Count(name string) Metric { return Metric{Name: name, Value: 1} }

// Millis is a metric of a duration.
func Millis(name string, ms float64) Metric {
	return Metric{Name: name, Unit: "Milliseconds", Value: ms}
}

// Seconds is a metric of a long duration.
func Seconds(name string, s float64) Metric { return Metric{Name: name, Unit: "Seconds", Value: s} }

// Metrics writes to a log. The zero value writes nowhere.
type Metrics struct {
	mu  sync.Mutex
	log io.Writer
}

// NewMetrics writes one line a call to log.
func NewMetrics(log io.Writer) *Metrics { return &Metrics{log: log} }

type definition struct {
	Name string `json:"Name"`
	Unit string `json:"Unit"`
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

// Emit writes the metrics for a policy and a step. A run id is not a
// dimension, because each distinct value would be billed; it is a property.
func (m *Metrics) Emit(policy, step, run string, values ...Metric) {
	if m == nil || m.log == nil || len(values) == 0 {
		return
	}
	line := map[string]any{"policy": policy, "step": step, "run": run}
	d := directive{Namespace: Namespace, Dimensions: [][]string{{"policy", "step"}}}
	for _, v := range values {
		unit := v.Unit
		if unit == "" {
			unit = "Count"
		}
		d.Metrics = append(d.Metrics, definition{v.Name, unit})
		line[v.Name] = v.Value
	}
	line["_aws"] = map[string]any{"Timestamp": time.Now().UnixMilli(), "CloudWatchMetrics": []directive{d}}
	text, err := json.Marshal(line)
	if err != nil {
		panic(err) // numbers and strings only: a NaN is a bug of the caller
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, _ = m.log.Write(append(text, '\n')) // a lost metric must not fail a step
}
