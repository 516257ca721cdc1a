package main

import (
	"fmt"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// widget is one rectangle of the dashboard, of 24 columns.
type widget map[string]any

// Colours say the same thing everywhere on the page.
const (
	green, amber, red = "#2ca02c", "#ff9900", "#d62728"
	blue, grey, plum  = "#1f77b4", "#7f7f7f", "#9467bd"
)

// makeDashboard lays the page out from what matters most: does anybody have to
// act, how long did writes stand still, how did runs end, where did time go.
func (d *deployment) makeDashboard() error {
	var y int
	var page []widget
	row := func(height int, widgets ...widget) {
		x := 0
		for _, w := range widgets {
			width := 24 / len(widgets)
			w["x"], w["y"], w["width"], w["height"] = x, y, width, height
			x += width
			page = append(page, w)
		}
		y += height
	}
	row(2, d.title())
	row(3, d.alarmStatus())
	row(6,
		d.chart("Frozen window: how long writes stood still", "Milliseconds",
			perPolicy(telemetry.FrozenWindow, "p50", "p50", green), perPolicy(telemetry.FrozenWindow, "p95", "p95", amber), perPolicy(telemetry.FrozenWindow, "Maximum", "max", red),
		).limit("alarm", d.frozenWindowMs),
		d.chart("Application pause: how long the application was at rest", "Milliseconds",
			perPolicy(telemetry.ApplicationPause, "p50", "p50", green), perPolicy(telemetry.ApplicationPause, "p95", "p95", amber), perPolicy(telemetry.ApplicationPause, "Maximum", "max", red)),
	)
	row(6,
		d.chart("How runs ended", "runs",
			total(telemetry.SetCompleted, "completed", green), total(telemetry.SetDegraded, "degraded", amber), total(telemetry.SetFailed, "failed", red)).stacked(),
		d.chart("Where the time goes: each step's slowest twentieth", "Milliseconds", d.durations()...),
		d.chart("What went wrong", "times",
			total(telemetry.StepFailed, "steps failed", grey), total(telemetry.AutoThawed, "let go by deadline", plum),
			total(telemetry.PreScriptFailed, "pre-scripts failed", blue), total(telemetry.PostScriptFailed, "post-scripts failed", amber),
			total(telemetry.ThawFailed, "thaws failed", red)).stacked(),
	)
	row(6,
		d.chart("Restore tests: what they say of the sets", "tests",
			total(telemetry.RestoreTestSuccessful, "successful", green), total(telemetry.RestoreTestFailed, "failed", red),
			total(telemetry.RestoreTestTimedOut, "timed out", amber), total(telemetry.RestoreTestNotDone, "not done", grey)).stacked(),
		d.chart("Recovery: how long a set took to come to life", "Seconds",
			perPolicy(telemetry.RestoreTestRecovery, "Maximum", "max", blue)),
	)
	row(7, d.lastRuns())
	body := d.stack.ToJsonString(map[string]any{"start": "-P7D", "periodOverride": "inherit", "widgets": page}, nil)
	awscloudwatch.NewCfnDashboard(d.stack, jsii.String("Dashboard"), &awscloudwatch.CfnDashboardProps{
		DashboardName: jsii.String(d.name), DashboardBody: body,
	})
	return nil
}

func (d *deployment) title() widget {
	return widget{"type": "text", "properties": map[string]any{"background": "transparent", "markdown": fmt.Sprintf(
		"# Quiesce\nApplication-consistent snapshots, by what was proved.  [Runs, and start one](%s) · [Alarms](%s) · [Events](%s)",
		d.consoleRuns(), d.consoleAlarms(), d.consoleBus())}}
}

func (d *deployment) alarmStatus() widget {
	var arns []*string
	for _, a := range d.alarms {
		arns = append(arns, a.arn)
	}
	return widget{"type": "alarm", "properties": map[string]any{"title": "Does anybody have to act?", "alarms": arns}}
}

// line is one or more curves of a chart.
type line map[string]any

// perPolicy searches one curve a policy, whatever policies there are.
func perPolicy(metric, statistic, label, colour string) line {
	return line{
		"expression": search(metric, "", statistic), "label": "${PROP('Dim.policy')} " + label, "color": colour,
	}
}

// total sums over all policies.
func total(metric, label, colour string) line {
	return line{"expression": "SUM(" + search(metric, "", "Sum") + ")", "label": label, "color": colour}
}

func search(metric, step, statistic string) string {
	where := `MetricName="` + metric + `"`
	if step != "" {
		where += ` step="` + step + `"`
	}
	return fmt.Sprintf("SEARCH('{%s,policy,step} %s', '%s')", telemetry.Namespace, where, statistic)
}

func (d *deployment) durations() (lines []line) {
	for _, step := range functions.Names {
		lines = append(lines, line{"expression": "MAX(" + search(telemetry.StepDuration, step, "p95") + ")", "label": step})
	}
	return lines
}

func (d *deployment) chart(title, unit string, lines ...line) widget {
	var metrics [][]line
	for i, l := range lines {
		l["id"] = fmt.Sprintf("e%d", i+1)
		metrics = append(metrics, []line{l})
	}
	return widget{"type": "metric", "properties": map[string]any{
		"title": title, "view": "timeSeries", "region": d.stack.Region(), "period": 300, "metrics": metrics,
		"yAxis": map[string]any{"left": map[string]any{"min": 0, "label": unit, "showUnits": false}},
	}}
}

func (w widget) properties() map[string]any { return w["properties"].(map[string]any) }

func (w widget) stacked() widget { w.properties()["stacked"] = true; return w }

func (w widget) limit(label string, at float64) widget {
	w.properties()["annotations"] = map[string]any{"horizontal": []any{map[string]any{"label": label, "value": at, "color": red}}}
	return w
}

// lastRuns reads the logs of the steps that know: thaw what was measured on
// the instance, tag how the run ended.
func (d *deployment) lastRuns() widget {
	query := []string{
		"SOURCE '" + d.logs["thaw"] + "' | SOURCE '" + d.logs["tag"] + "'",
		"filter ispresent(run) and run != ''",
		"stats max(@timestamp) as ended, max(" + telemetry.FrozenWindow + ") as frozenMs, max(" + telemetry.ApplicationPause + ") as pausedMs, " +
			"sum(" + telemetry.SetCompleted + ") as completed, sum(" + telemetry.SetDegraded + ") as degraded, sum(" + telemetry.SetFailed + ") as failed by run, policy",
		"sort ended desc", "limit 25",
	}
	return widget{"type": "log", "properties": map[string]any{
		"title": "The last runs", "view": "table", "region": d.stack.Region(), "query": strings.Join(query, " | "),
	}}
}
