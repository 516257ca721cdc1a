package main

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// alarm is one reason to wake somebody. Query is over all policies, in the
// words of Metrics Insights; an alarm without one looks at a single metric.
type alarm struct {
	id, name, means string // means: what it says, and what to do
	query           string
	metric          *awscloudwatch.CfnAlarm_MetricStatProperty
	period          time.Duration
	periods         float64
	above, below    float64 // one of them; 0 counts as above when both are
	missingIsBad    bool
	arn             *string
}

// count is a query for how often something happened, in any policy.
func count(metric string) string { return ofMetric("SUM", metric) }

func ofMetric(statistic, metric string) string {
	return fmt.Sprintf(`SELECT %s(%s) FROM SCHEMA("%s", policy, step)`, statistic, metric, telemetry.Namespace)
}

// makeAlarms makes them and has all of them write to the one topic.
func (d *deployment) makeAlarms() error {
	d.alarms = []alarm{
		{
			id: "ThawFailed", name: "thaw-failed", query: count(telemetry.ThawFailed), period: time.Minute, periods: 1,
			means: "It is not known whether an instance was let go. The helper's own deadline has most likely done it; look at the instance now.",
		},
		{
			id: "FrozenTooLong", name: "frozen-too-long", query: ofMetric("MAX", telemetry.FrozenWindow), period: time.Minute, periods: 1, above: d.frozenWindowMs,
			means: fmt.Sprintf("Writes stood still for more than %.0f ms. Look at the steps' durations on the dashboard: the flush, the agent or the snapshot call was slow.", d.frozenWindowMs),
		},
		{
			id: "AutoThawed", name: "auto-thawed", query: count(telemetry.AutoThawed), period: 5 * time.Minute, periods: 1,
			means: "An instance let go by its deadline before the workflow told it to. The set of that run is crash-consistent; raise the deadline or find what was slow.",
		},
		{
			id: "Degraded", name: "degraded", query: count(telemetry.SetDegraded), period: 5 * time.Minute, periods: 1,
			means: "A set exists, but less was proved of it than its policy asks for. The reason is in the set's tags and in the run's last event.",
		},
		{
			id: "Failed", name: "failed", query: count(telemetry.SetFailed), period: 5 * time.Minute, periods: 1,
			means: "A run ended without a set that can be restored. Its last event names the reason and the next move.",
		},
		{
			id: "RestoreTestFailed", name: "restore-test-failed", query: count(telemetry.RestoreTestFailed), period: 5 * time.Minute, periods: 1,
			means: "A set was restored beside and did not come to life. It is kept, and counts as no good one any more; the event says what was found.",
		},
		{
			id: "RestoreTestTimedOut", name: "restore-test-timed-out", query: count(telemetry.RestoreTestTimedOut), period: 5 * time.Minute, periods: 1,
			means: "A restore test did not end within its time limit: nothing is known of the set. The event says what it waited for.",
		},
		{
			id: "RestoreTestNotDone", name: "restore-test-not-done", query: count(telemetry.RestoreTestNotDone), period: 5 * time.Minute, periods: 1,
			means: "A restore test was refused or could not be carried out: nothing is known of the set. The event names the reason and the next move.",
		},
		{
			id: "RestoreTestScratchLeft", name: "restore-test-scratch-left", query: ofMetric("MAX", telemetry.RestoreTestLeft), period: 5 * time.Minute, periods: 1,
			means: "Disks of a restore test are there after it, and cost until they are deleted. The event names them; the janitor tries again for an hour.",
		},
		{
			id: "RestoreDirty", name: "restore-dirty", query: count(telemetry.RestoreDirty), period: time.Minute, periods: 1,
			means: "A restore left the original other than it was, or nobody has seen that it is: an instance may be stopped, or be without its disks. Look at it now; the restore's last event names it, and the next move.",
		},
		{
			id: "Orphaned", name: "orphaned", query: ofMetric("MAX", telemetry.SetsOrphaned), period: time.Hour, periods: 1,
			means: "Sets are kept that nobody can vouch for: judged by no run, with a member missing, or with a failed restore test. `quiesce sets` names them and says why.",
		},
		{
			id: "NotCurated", name: "not-curated", query: count(telemetry.CurationFailed), period: 5 * time.Minute, periods: 1,
			means: "A set could not be locked, shared, copied, archived or made ready as its policy says. The last Consistent Snapshot Curation Report names it and the reason.",
		},
	}
	for _, of := range sortedKeys(d.queues) {
		d.alarms = append(d.alarms, alarm{
			id: camel(of) + "Undelivered", name: of + "-undelivered", period: time.Minute, periods: 1,
			means: undelivered[of] + " The message in the queue says what it was.",
			metric: metric("AWS/SQS", "ApproximateNumberOfMessagesVisible", "Maximum", time.Minute,
				"QueueName", *d.queues[of].QueueName()),
		})
	}
	for _, p := range d.policies {
		if missed, ok := d.missed(p); ok {
			d.alarms = append(d.alarms, missed)
		}
	}
	for i := range d.alarms {
		d.makeAlarm(&d.alarms[i])
	}
	return nil
}

// undelivered says what stood still for lack of a delivery.
var undelivered = map[string]string{
	"janitor":       "The janitor could not thaw after a run that broke off: look at the instance now.",
	"schedules":     "A scheduled start was not delivered within the policy's limit: that run was missed.",
	"notifications": "Somebody was not told how a run ended.",
	"retention":     "What a policy no longer keeps could not be deleted: it costs storage until somebody has looked.",
	"curation":      "Nobody looked after a policy's sets: they are not locked, shared or copied until the next look.",
	"tests":         "A restore test was not started, or the copies of one that broke off could not be taken away.",
	"restores":      "Nobody has seen how a restore ended that was stopped, or whose report failed: look at its instance now.",
	"completions":   "The end of a set was not passed on; its run finds out by polling, later.",
}

// longest is how far back an alarm can look: a week, in hours.
const longest = 7 * 24

// missed is the alarm of a policy none of whose runs ended in the longest time
// between two of its starts. A policy that starts more seldom than once a week
// has none: no alarm looks so far back, and a start that could not be
// delivered has its own.
func (d *deployment) missed(p policy.Document) (alarm, bool) {
	gap, ok := longestGap(p.Fleet, time.Now())
	hours := math.Ceil((gap + p.StartLate()).Hours()) + 1
	if !ok || hours > longest {
		return alarm{}, false
	}
	return alarm{
		id: "Missed" + ident(p.Name), name: "missed-" + p.Name, period: time.Hour, periods: hours, below: 1, missingIsBad: true,
		means: fmt.Sprintf("No run of the policy %s has ended for %.0f hours, though its schedules should have started one. So it is, too, until its first run.", p.Name, hours),
		metric: metric(telemetry.Namespace, telemetry.StepDuration, "SampleCount", time.Hour,
			"policy", p.Name, "step", "tag"),
	}, true
}

// longestGap is the longest time between two starts of any of the schedules,
// looked for in the year to come.
func longestGap(f policy.Fleet, now time.Time) (longest time.Duration, ok bool) {
	var tables []*policy.Timetable
	for _, s := range f.Schedules {
		t, err := s.Timetable()
		if err != nil {
			return 0, false
		}
		tables = append(tables, t)
	}
	if len(tables) == 0 {
		return 0, false
	}
	next := make([]time.Time, len(tables))
	for i, t := range tables {
		next[i] = t.Next(now)
	}
	last := time.Time{}
	for end := now.AddDate(1, 0, 0); ; {
		at := slices.MinFunc(next, func(a, b time.Time) int {
			if a.IsZero() != b.IsZero() { // zero is never
				if a.IsZero() {
					return 1
				}
				return -1
			}
			return a.Compare(b)
		})
		if at.IsZero() || at.After(end) {
			return longest, longest > 0 && !at.IsZero()
		}
		if !last.IsZero() {
			longest = max(longest, at.Sub(last))
		}
		last = at
		for i, t := range tables {
			if next[i].Equal(at) {
				next[i] = t.Next(at)
			}
		}
	}
}

func metric(namespace, name, statistic string, period time.Duration, dimensions ...string) *awscloudwatch.CfnAlarm_MetricStatProperty {
	var list []*awscloudwatch.CfnAlarm_DimensionProperty
	for i := 0; i < len(dimensions); i += 2 {
		list = append(list, &awscloudwatch.CfnAlarm_DimensionProperty{Name: jsii.String(dimensions[i]), Value: jsii.String(dimensions[i+1])})
	}
	return &awscloudwatch.CfnAlarm_MetricStatProperty{
		Metric: &awscloudwatch.CfnAlarm_MetricProperty{Namespace: jsii.String(namespace), MetricName: jsii.String(name), Dimensions: list},
		Period: jsii.Number(period.Seconds()), Stat: jsii.String(statistic),
	}
}

func (d *deployment) makeAlarm(a *alarm) {
	query := &awscloudwatch.CfnAlarm_MetricDataQueryProperty{Id: jsii.String("m"), ReturnData: jsii.Bool(true)}
	if a.query != "" {
		query.Expression, query.Period = jsii.String(a.query), jsii.Number(a.period.Seconds())
	} else {
		query.MetricStat = a.metric
	}
	comparison, threshold, missing := "GreaterThanThreshold", a.above, "notBreaching"
	if a.below > 0 {
		comparison, threshold = "LessThanThreshold", a.below
	}
	if a.missingIsBad {
		missing = "breaching"
	}
	made := awscloudwatch.NewCfnAlarm(d.stack, jsii.String(a.id+"Alarm"), &awscloudwatch.CfnAlarmProps{
		AlarmName:          d.named(a.name),
		AlarmDescription:   jsii.String(a.means),
		Metrics:            []*awscloudwatch.CfnAlarm_MetricDataQueryProperty{query},
		EvaluationPeriods:  jsii.Number(a.periods),
		ComparisonOperator: jsii.String(comparison),
		Threshold:          jsii.Number(threshold),
		TreatMissingData:   jsii.String(missing),
		AlarmActions:       &[]any{d.topic.TopicArn()},
		OkActions:          &[]any{d.topic.TopicArn()},
	})
	a.arn = made.AttrArn()
}
