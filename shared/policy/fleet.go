package policy

import (
	"fmt"
	"regexp"
	"slices"
	"time"
)

var (
	instance = regexp.MustCompile(`^i-[0-9a-z]{8,32}$`)
	email    = regexp.MustCompile(`^[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63}){1,8}$`)
	topic    = regexp.MustCompile(`^arn:aws[a-z-]*:sns:[a-z0-9-]{1,32}:[0-9]{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?$`)
)

// Check refuses every field that is out of its range, and schedules that meet
// within about a year of now, so that nothing of a bad file is deployed.
func (d Document) Check(now time.Time) error {
	var all Problems
	for _, f := range d.complaints(now) {
		all = append(all, Problem{Fault: f})
	}
	if len(all) == 0 {
		return nil
	}
	return all
}

// complaints is all that is wrong with the file.
func (d Document) complaints(now time.Time) complaints {
	c := d.Policy.complaints()
	c.targets(d.Fleet)
	c.schedules(d.Fleet, now)
	c.within("maxConcurrency", d.MaxConcurrency, 0, 10000)
	switch e := d.MaxErrors; {
	case e.Percent && (e.Value < 0 || e.Value > 100):
		c.add("maxErrors", "wants 0%%-100%%, got %s", e)
	case !e.Percent && (e.Value < 0 || e.Value > 10000):
		c.add("maxErrors", "wants 0-10000, got %s", e)
	}
	c.within("startLateMinutes", d.StartLateMinutes, 1, 1440)
	c.group(d)
	c.notification(d.Notification)
	c.retention("retention", d.Retention, now)
	c.curation(d, now)
	c.restoreTest(d.RestoreTest, now)
	return c
}

func (c *complaints) targets(f Fleet) {
	if n := len(f.Targets.InstanceIDs); n > 1000 {
		c.add("targets.instanceIds", "wants at most 1000 instances, got %d: find them by a tag", n)
	}
	seen := map[string]bool{}
	for i, id := range f.Targets.InstanceIDs {
		field := fmt.Sprintf("targets.instanceIds[%d]", i)
		switch {
		case !instance.MatchString(id):
			c.add(field, "wants an instance id such as i-0abc12345678def90, got %q", id)
		case seen[id]:
			c.add(field, "names %s a second time", id)
		}
		seen[id] = true
	}
	c.sought("targets.tags", f.Targets.Tags, false)
	if f.Targets.Empty() && (len(f.Schedules) > 0 || f.Group) {
		c.add("targets", "is missing: schedules and a group need instanceIds or tags")
	}
}

func (c *complaints) schedules(f Fleet, now time.Time) {
	if len(f.Schedules) > 10 {
		c.add("schedules", "wants at most 10, got %d", len(f.Schedules))
		return
	}
	tables := make([]*Timetable, len(f.Schedules))
	names := map[string]bool{}
	for i, s := range f.Schedules {
		at := fmt.Sprintf("schedules[%d]", i)
		switch {
		case s.Name != "" && !name.MatchString(s.Name):
			c.add(at+".name", "wants 1-64 letters, digits, dots, dashes or underscores, got %q", s.Name)
		case names[f.ScheduleName(i)]:
			c.add(at+".name", "is %s, as another schedule's", f.ScheduleName(i))
		}
		names[f.ScheduleName(i)] = true
		tables[i] = c.schedule(at, s, now)
	}
	for i := range tables {
		for j := range i {
			c.pair(f, tables, j, i, now)
		}
	}
}

// schedule checks one by itself; nil means that it cannot be compared.
func (c *complaints) schedule(at string, s Schedule, now time.Time) *Timetable {
	t, zone, err := s.read()
	if zone != nil {
		c.add(at+".timezone", "%v", zone)
	}
	if err != nil {
		c.add(at+".expression", "%v", err)
	}
	if zone != nil || err != nil {
		return nil
	}
	if _, isRate := t.Rate(); isRate && s.Timezone != "" {
		c.add(at+".timezone", "is given, but a rate counts hours from its deployment wherever that is: wants cron(...)")
		return nil
	}
	if t.Next(now).IsZero() {
		c.add(at+".expression", "never fires again: no such day or year is to come, got %q", s.Expression)
		return nil
	}
	if a, b, found := t.crowded(now); found {
		c.add(at+".expression", "wants at least %.0f minutes between starts, got %.0f (after %s)", minGap.Minutes(), b.Sub(a).Minutes(), show(a))
		return nil
	}
	return t
}

// pair refuses two schedules that would start two runs for one instance at once.
func (c *complaints) pair(f Fleet, tables []*Timetable, one, other int, now time.Time) {
	a, b := tables[one], tables[other]
	if a == nil || b == nil {
		return
	}
	at, name := fmt.Sprintf("schedules[%d].expression", other), f.ScheduleName(one)
	_, first := a.Rate()
	_, second := b.Rate()
	if first || second {
		c.add(at, "cannot stand beside %s: a rate counts from its deployment, so that nobody can tell when the two meet: wants cron(...) for both", name)
		return
	}
	if when := meet(a, b, now); !when.IsZero() {
		c.add(at, "fires together with %s, first at %s: an instance can be in one run at a time", name, show(when.In(b.zone)))
	}
}

// show writes a time by its own zone's clock, and by UTC where that differs.
func show(t time.Time) string {
	const form = "2006-01-02 15:04 MST"
	if _, offset := t.Zone(); offset == 0 {
		return t.UTC().Format(form)
	}
	return t.Format(form) + ", " + t.UTC().Format(form)
}

func (c *complaints) group(d Document) {
	c.within("groupBudgetSeconds", d.GroupBudgetSeconds, 5, 300)
	if !d.Group {
		return
	}
	if d.Mode != Orchestrated {
		c.add("mode", "is %s, but a group is held by the workflow", d.Mode)
	}
	if left := d.FreezeWithin(d.GroupBudget()); left < MinFreeze {
		c.add("groupBudgetSeconds", "wants at least %.0f, got %d: the scripts may take %s, the commands %s and a freeze no less than %s",
			(d.GroupBudget() + MinFreeze - left).Seconds(), d.GroupBudgetSeconds, d.Application.Limit(), Delivery, MinFreeze)
	}
	if d.MaxConcurrency != 0 {
		c.add("maxConcurrency", "is given, but a group holds all its targets at once")
	}
}

func (c *complaints) notification(list []Notification) {
	if len(list) > 20 {
		c.add("notification", "wants at most 20 receivers, got %d", len(list))
	}
	for i, n := range list {
		at := fmt.Sprintf("notification[%d]", i)
		switch {
		case (n.Email == "") == (n.TopicARN == ""):
			c.add(at, "wants either email or topicArn")
		case n.Email != "" && !email.MatchString(n.Email):
			c.add(at+".email", "wants an address such as dba@example.com, got %q", n.Email)
		case n.TopicARN != "" && !topic.MatchString(n.TopicARN):
			c.add(at+".topicArn", "wants an SNS topic's ARN, got %q", n.TopicARN)
		}
		for j, on := range n.On {
			if !slices.Contains(Outcomes, on) {
				c.add(fmt.Sprintf("%s.on[%d]", at, j), "wants completed, degraded, failed or thaw-failed, got %q", on)
			}
		}
	}
}
