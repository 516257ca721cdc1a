package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"time"
	_ "time/tzdata" // a schedule's zone must not depend on whose machine checks it

	"github.com/goccy/go-yaml"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/shared/policy"
)

type policyCmd struct {
	Check   policyCheckCmd   `cmd:"" help:"Refuse what is wrong with policy files, by line and field."`
	Explain policyExplainCmd `cmd:"" help:"Show a policy with its defaults, and when it fires next."`
}

type policyCheckCmd struct {
	Files []string `arg:"" name:"file" type:"existingfile" help:"Policy files, YAML or JSON."`
}

// Run tells all problems of all files, so that one look corrects them.
func (c *policyCheckCmd) Run(s *streams) error {
	var all policy.Problems
	for _, file := range c.Files {
		_, err := readPolicy(file)
		var problems policy.Problems
		switch {
		case errors.As(err, &problems):
			all = append(all, problems...)
		case err != nil:
			return err
		default:
			fmt.Fprintf(s.out, "%s: good\n", file)
		}
	}
	if len(all) > 0 {
		return all
	}
	return nil
}

// readPolicy reads a policy file strictly and checks it, as precheck will.
func readPolicy(path string) (policy.Document, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return policy.Document{}, err
	}
	return policy.Read(path, text)
}

type policyExplainCmd struct {
	File   string    `arg:"" type:"existingfile" help:"Policy file, YAML or JSON."`
	Next   int       `default:"5" help:"Starts to show of each schedule, 1-100."`
	After  time.Time `placeholder:"TIME" help:"Show the starts after this time, such as 2026-03-28T00:00:00Z; by default after now."`
	Output string    `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// plannedStarts is when one schedule fires.
type plannedStarts struct {
	Name       string      `json:"name"`
	Expression string      `json:"expression"`
	Timezone   string      `json:"timezone"`
	Note       string      `json:"note,omitempty"`
	Starts     []time.Time `json:"starts"` // in the schedule's zone
}

func (c *policyExplainCmd) Run(s *streams) error {
	d, err := readPolicy(c.File)
	if err != nil {
		return err
	}
	if c.After.IsZero() {
		c.After = time.Now()
	}
	plan := make([]plannedStarts, 0, len(d.Schedules))
	for i := range d.Schedules {
		p, err := c.starts(d, i)
		if err != nil {
			return err
		}
		plan = append(plan, p)
	}
	if c.Output == "json" {
		return writeJSON(s.out, struct {
			Policy policy.Document `json:"policy"`
			Starts []plannedStarts `json:"starts"`
		}{d, plan})
	}
	body, err := json.Marshal(d)
	if err != nil {
		return err
	}
	if body, err = yaml.JSONToYAML(body); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s", body)
	fmt.Fprintf(s.out, "\nkept of each instance: %s\n", d.Retention)
	for _, sentence := range d.Sentences() {
		fmt.Fprintf(s.out, "%s\n", sentence)
	}
	for _, p := range plan {
		fmt.Fprintf(s.out, "\n%s\n", p)
	}
	return nil
}

// starts lists the next starts of the schedule at index i.
func (c *policyExplainCmd) starts(d policy.Document, i int) (plannedStarts, error) {
	schedule := d.Schedules[i]
	p := plannedStarts{Name: d.ScheduleName(i), Expression: schedule.Expression, Starts: []time.Time{}}
	t, err := schedule.Timetable()
	if err != nil {
		return p, err
	}
	p.Timezone = t.Zone().String()
	if _, rate := t.Rate(); rate {
		p.Note = "if it were deployed then: a rate counts from its deployment"
	}
	for at := t.Next(c.After); !at.IsZero() && len(p.Starts) < min(max(c.Next, 1), 100); at = t.Next(at) {
		p.Starts = append(p.Starts, at)
	}
	return p, nil
}

// String is the starts as a person reads them.
func (p plannedStarts) String() string {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.SetTitle("%s: %s", p.Name, p.Expression)
	t.AppendHeader(table.Row{p.Timezone, "UTC"})
	for _, at := range p.Starts {
		t.AppendRow(table.Row{at.Format("Mon 2006-01-02 15:04 MST"), at.UTC().Format("Mon 2006-01-02 15:04")})
	}
	if p.Note != "" {
		t.SetCaption("%s", p.Note)
	}
	return t.Render()
}
