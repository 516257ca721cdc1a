package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"go/ast"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// means says what a metric counts.
var means = map[string]string{
	"StepDuration":       "how long one call of the function took",
	"StepFailed":         "a call that ended in a fault",
	"FrozenWindow":       "first freeze to last thaw, on the instance's clock; absent if nothing was frozen",
	"ApplicationPause":   "from the start of the quiesce to the end of the release, on the instance's clock",
	"SetStarted":         "a snapshot call that made a set",
	"SetCompleted":       "a run that ended `completed`",
	"SetDegraded":        "a run that ended `degraded`",
	"SetFailed":          "a run that ended `failed-clean` or `failed-dirty`, or broke off",
	"AutoThawed":         "an instance that let go by itself: by its deadline, a guard or the recovery",
	"ThawFailed":         "it is not known that the instance was let go, or the application was not released",
	"PreScriptStarted":   "a quiesce that was asked for, by scripts or by an adapter",
	"PreScriptCompleted": "one that succeeded",
	"PreScriptFailed":    "one that failed",
	"PostScriptStarted":  "a post-script that ran",
	"PostScriptDone":     "one that succeeded",
	"PostScriptFailed":   "one that failed or ran out of time",
	"FleetInstances":     "instances of a fleet or a group",
	"FleetFailed":        "those that failed or were not started",
	"FleetDuration":      "from its start to its report",
	"SetsCopied":         "sets of a policy of which a Region has every member since this look",
	"CopiesWaiting":      "sets of a policy of which a Region has not every member yet",
	"CurationFailed":     "things that could not be done with a policy's sets: locked, shared, copied, archived",
	"SetsKept":           "sets of a policy that its retention keeps, when it was applied",
	"SetsDeleted":        "sets that were deleted",
	"SetsOrphaned":       "sets that are kept, and that a person must look at",

	"RestoreTestSuccessful": "a set that was restored beside and came to life",
	"RestoreTestFailed":     "one that did not",
	"RestoreTestTimedOut":   "a restore test that did not end within its time limit",
	"RestoreTestNotDone":    "one that was refused, or could not be carried out: it says nothing of the set",
	"RestoreTestRecovery":   "from the first look for the copies on the test instance to the end of the last check",
	"RestoreTestLeft":       "disks of a restore test that are there after it",
	"RestoreCompleted":      "a restore, a way back, a confirmation or a cleanup that ended as it was asked for",
	"RestoreFailed":         "one that did not, with the original as it was",
	"RestoreDirty":          "one after which a person must look at the instance",
	"RestoreDuration":       "from the start of the execution to its report",
	"RestoreRecovery":       "from the first look for the copies of a restore on the instance to the end of the last check",
}

func metrics(root string) (string, error) {
	files, err := parse(filepath.Join(root, "shared", "telemetry"))
	if err != nil {
		return "", err
	}
	units, by := map[string]string{}, map[string][]string{}
	note := func(step string, files []*ast.File) {
		each(files, func(n ast.Node) {
			switch n := n.(type) {
			case *ast.CallExpr:
				if unit := map[string]string{"Millis": "Milliseconds", "Seconds": "Seconds"}[last(n.Fun)]; unit != "" && len(n.Args) > 0 {
					units[last(n.Args[0])] = unit
				}
			case *ast.SelectorExpr:
				if last(n.X) == "telemetry" && means[n.Sel.Name] != "" && step != "" && !slices.Contains(by[n.Sel.Name], step) {
					by[n.Sel.Name] = append(by[n.Sel.Name], step)
				}
			}
		})
	}
	note("", files)
	if err := eachFunction(root, note); err != nil {
		return "", err
	}
	var measured, not []string
	for _, s := range watched() {
		if s.measures {
			measured = append(measured, s.name)
		} else {
			not = append(not, s.name)
		}
	}
	if len(measured) > 0 {
		every := "every function but " + strings.Join(not, ", ")
		by["StepDuration"], by["StepFailed"] = []string{every}, []string{every}
	}
	line, err := sample()
	if err != nil {
		return "", err
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Namespace `%s`, dimensions `%s`, standard resolution. A run's id is a property of the log line and no\ndimension, because each value would be billed.\n\n", line.Namespace, strings.Join(line.Dimensions[0], "`, `"))
	fmt.Fprintf(&b, "| metric | unit | emitted by | meaning |\n|---|---|---|---|\n")
	for _, c := range constants(files) {
		if c.name == "Namespace" {
			continue
		}
		if means[c.name] == "" || len(by[c.name]) == 0 {
			return "", fmt.Errorf("the metric %s: what it means is %q, who emits it %v", c.name, means[c.name], by[c.name])
		}
		unit := units[c.name]
		if unit == "" {
			unit = "Count"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", c.value, unit, strings.Join(by[c.name], ", "), means[c.name])
	}
	return b.String(), nil
}

type directive struct {
	Namespace  string
	Dimensions [][]string
}

// sample is what CloudWatch is told of a metric.
func sample() (directive, error) {
	var log bytes.Buffer
	telemetry.NewMetrics(&log).Emit("policy", "step", "run", telemetry.Count("one"))
	var line struct {
		AWS struct{ CloudWatchMetrics []directive } `json:"_aws"`
	}
	err := json.Unmarshal(log.Bytes(), &line)
	if err != nil || len(line.AWS.CloudWatchMetrics) != 1 {
		return directive{}, fmt.Errorf("a metric's line is %s: %v", &log, err)
	}
	return line.AWS.CloudWatchMetrics[0], nil
}

// eachFunction visits the code of each function that emits or publishes, under
// the name by which it does so.
func eachFunction(root string, visit func(step string, files []*ast.File)) error {
	folders, err := os.ReadDir(filepath.Join(root, "functions"))
	if err != nil {
		return err
	}
	for _, f := range folders {
		if !f.IsDir() {
			continue
		}
		files, err := parse(filepath.Join(root, "functions", f.Name()))
		if err != nil {
			return err
		}
		step := ""
		each(files, func(n ast.Node) {
			if call, ok := n.(*ast.CallExpr); ok && last(call.Fun) == "Emit" && len(call.Args) > 1 {
				step, _ = literal(call.Args[1])
			}
		})
		if step != "" {
			visit(step, files)
		}
	}
	return nil
}

// watch is what a function tells of itself, whatever it was asked.
type watch struct {
	name                string
	measures, publishes bool
}

// watched calls every function with an input that it refuses, and sees what
// comes out.
func watched() (list []watch) {
	for _, name := range functions.Names {
		var log bytes.Buffer
		bus := &listener{}
		step := functions.Table(functions.Deps{Cloud: bus, Metrics: &log})[name]
		_, _ = step(context.Background(), json.RawMessage(`[]`)) // refused by every one of them
		list = append(list, watch{name, strings.Contains(log.String(), telemetry.StepDuration), bus.heard})
	}
	return list
}

// listener is a cloud of which nothing is there but the bus.
type listener struct {
	cloud.Provider
	heard bool
}

func (l *listener) Publish(context.Context, []events.Event) error { l.heard = true; return nil }
