package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/retention"
	"github.com/quiesce/quiesce/shared/run"
)

type setsCmd struct {
	where
	Policies []string `arg:"" optional:"" name:"policy" type:"existingfile" help:"Policy files: only their sets, and why each is kept. Without one, the sets of every policy."`
	Output   string   `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// keeper is the account's store of sets, by the operator's own credentials.
func (p place) keeper(ctx context.Context) (cloud.Keeper, error) {
	cfg, err := p.config(ctx)
	if err != nil {
		return nil, err
	}
	return awscloud.New(cfg, awscloud.Options{}), nil
}

// storedSet is one set as it is listed.
type storedSet struct {
	TakenAt     time.Time       `json:"takenAt"`
	AgeSeconds  int64           `json:"ageSeconds"` // by the cloud's clock
	RunID       string          `json:"runId"`
	Policy      string          `json:"policy"`
	InstanceID  string          `json:"instanceId"`
	State       string          `json:"state"`
	Consistency run.Consistency `json:"consistency"`
	FrozenMs    string          `json:"frozenMs"`
	Verified    retention.Test  `json:"verified"` // how its last restore test ended
	SizeGiB     int64           `json:"sizeGiB"`  // of its volumes
	SnapshotIDs []string        `json:"snapshotIds"`
	Expected    int             `json:"expected"` // how many snapshots it was made of; 0: not known
	Orphan      bool            `json:"orphan"`
	Keep        *bool           `json:"keep"` // null where the policy's file was not given
	Why         []string        `json:"why"`
}

func (c *setsCmd) Run(ctx context.Context, s *streams) error {
	var all []policy.Document
	for _, file := range c.Policies {
		d, err := readPolicy(file)
		if err != nil {
			return err
		}
		all = append(all, d)
	}
	k, err := c.keeper(ctx)
	if err != nil {
		return err
	}
	list := []storedSet{}
	for _, d := range all {
		if list, err = appendSets(ctx, k, list, d.Name, &d.Retention); err != nil {
			return err
		}
	}
	if len(all) == 0 {
		if list, err = appendSets(ctx, k, list, "", nil); err != nil {
			return err
		}
	}
	slices.SortStableFunc(list, func(a, b storedSet) int { return cmp.Or(b.TakenAt.Compare(a.TakenAt), cmp.Compare(a.RunID, b.RunID)) })
	if c.Output == "json" {
		return writeJSON(s.out, list)
	}
	showSets(s.out, list)
	return nil
}

// appendSets lists the sets of a policy, or of all. Without a rule nobody knows
// which are kept; what a person must look at is told all the same.
func appendSets(ctx context.Context, k cloud.Keeper, list []storedSet, name string, rule *policy.Retention) ([]storedSet, error) {
	stock, err := k.Stored(ctx, name)
	if err != nil {
		return nil, err
	}
	decide := policy.Retention{}
	if rule != nil {
		decide = *rule
	}
	decisions, err := retention.Decide(decide, stock.At, retention.Sets(stock.Snapshots))
	if err != nil {
		return nil, err
	}
	for _, d := range decisions {
		one := storedSet{
			TakenAt: d.TakenAt, AgeSeconds: int64(stock.At.Sub(d.TakenAt).Seconds()), RunID: d.RunID, Policy: d.Policy, InstanceID: d.InstanceID,
			State: d.State, Consistency: d.Consistency, FrozenMs: d.FrozenMs, Verified: d.Test, SizeGiB: d.SizeGiB,
			SnapshotIDs: d.IDs, Expected: d.Expected, Orphan: d.Orphan, Why: []string{},
		}
		if rule != nil || d.Orphan {
			one.Why = d.Why
		}
		if rule != nil {
			one.Keep = &d.Keep
		}
		list = append(list, one)
	}
	return list, nil
}

func showSets(out io.Writer, list []storedSet) {
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.AppendHeader(table.Row{"when", "policy", "instance", "consistency", "frozen ms", "verified", "GiB", "age", "run", "kept"})
	for _, s := range list {
		t.AppendRow(table.Row{
			s.TakenAt.Local().Format(time.DateTime), cmp.Or(s.Policy, "-"), cmp.Or(s.InstanceID, "-"), s.proved(), cmp.Or(s.FrozenMs, "-"),
			strings.ToLower(cmp.Or(string(s.Verified), "-")), s.SizeGiB, age(time.Duration(s.AgeSeconds) * time.Second), s.RunID, s.kept(),
		})
	}
	fmt.Fprintln(out, t.Render())
}

// proved is the set's consistency, or why it has none.
func (s storedSet) proved() string {
	if s.State != run.Completed {
		return s.State
	}
	return cmp.Or(string(s.Consistency), "not judged")
}

// kept is whether the set is kept, and why.
func (s storedSet) kept() string {
	why := strings.Join(s.Why, "; ")
	switch {
	case s.Orphan:
		return "look: " + why
	case s.Keep == nil:
		return "-"
	case *s.Keep:
		return why
	}
	return "to be removed: " + why
}

// age is written in its largest unit.
func age(d time.Duration) string {
	for _, u := range []struct {
		of     time.Duration
		letter string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d >= u.of {
			return fmt.Sprintf("%d%s", d/u.of, u.letter)
		}
	}
	return "0m"
}
