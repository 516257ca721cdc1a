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
func (p place) keeper(ctx context.Context) (*awscloud.Provider, error) {
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
	CopyOf      string          `json:"copyOf"`   // Region in which it was taken; empty: here
	CopiedTo    []string        `json:"copiedTo"` // Regions that had all of it
	LockedUntil time.Time       `json:"lockedUntil,omitzero"`
	SharedSince time.Time       `json:"sharedSince,omitzero"`
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
		if list, err = appendSets(ctx, k, list, d.Name, &d); err != nil {
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

// appendSets lists the sets of a policy, or of all. Without a policy's file nobody
// knows which are kept; what a person must look at is told all the same. Copies
// are kept by the retention that the policy has for this Region.
func appendSets(ctx context.Context, k cloud.Keeper, list []storedSet, name string, of *policy.Document) ([]storedSet, error) {
	stock, err := k.Stored(ctx, name)
	if err != nil {
		return nil, err
	}
	var taken, copies []retention.Set
	for _, s := range retention.Sets(stock.Snapshots) {
		if of != nil {
			s.Release(of.Archive.Keep, stock.At)
		}
		if s.From == "" {
			taken = append(taken, s)
		} else {
			copies = append(copies, s)
		}
	}
	var rule, here policy.Retention
	if of != nil {
		rule = of.Retention
	}
	if at, copies := k.(cloud.Region); of != nil && copies {
		for _, one := range of.Copies {
			if one.Region == at.Region() {
				here = one.Retention
			}
		}
	}
	decisions, err := retention.Decide(rule, stock.At, taken)
	if err != nil {
		return nil, err
	}
	also, err := retention.Decide(here, stock.At, copies)
	if err != nil {
		return nil, err
	}
	for _, d := range append(decisions, also...) {
		one := storedSet{
			TakenAt: d.TakenAt, AgeSeconds: int64(stock.At.Sub(d.TakenAt).Seconds()), RunID: d.RunID, Policy: d.Policy, InstanceID: d.InstanceID,
			State: d.State, Consistency: d.Consistency, FrozenMs: d.FrozenMs, Verified: d.Test, SizeGiB: d.SizeGiB,
			SnapshotIDs: d.IDs, Expected: d.Expected, Orphan: d.Orphan, Why: []string{},
			CopyOf: d.From, CopiedTo: slices.Concat([]string{}, d.CopiedTo), LockedUntil: d.LockedUntil, SharedSince: d.SharedSince,
		}
		if of != nil || d.Orphan {
			one.Why = d.Why
		}
		if of != nil {
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
	switch {
	case s.State != run.Completed:
		return s.State
	case len(s.SnapshotIDs) < s.Expected:
		return fmt.Sprintf("%d of %d members", len(s.SnapshotIDs), s.Expected)
	}
	return cmp.Or(string(s.Consistency), "not judged")
}

// kept is whether the set is kept, and why, and what was done with it besides.
func (s storedSet) kept() string {
	text := s.fate()
	if s.CopyOf != "" {
		text += "; a copy from " + s.CopyOf
	}
	if len(s.CopiedTo) > 0 {
		text += "; copied to " + strings.Join(s.CopiedTo, ", ")
	}
	if !s.LockedUntil.IsZero() {
		text += "; locked until " + s.LockedUntil.Format(time.DateOnly)
	}
	if !s.SharedSince.IsZero() {
		text += "; shared since " + s.SharedSince.Format(time.DateOnly)
	}
	return strings.TrimPrefix(text, "-; ")
}

func (s storedSet) fate() string {
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
