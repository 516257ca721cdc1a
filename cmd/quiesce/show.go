package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/sfn"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud/history"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

type showCmd struct {
	StateMachine string `env:"QUIESCE_STATE_MACHINE" placeholder:"ARN" help:"State machine of the workflow, for a run that is named and was not of this machine."`
	place
	RunID  string `arg:"" name:"run" help:"Run id or execution ARN; also the id of a run that quiesce run has made here."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// shown is one run, as much as is known of it.
type shown struct {
	RunID      string             `json:"runId"`
	Where      string             `json:"where"`  // the execution's ARN, or local
	Status     string             `json:"status"` // the workflow service's word
	Error      string             `json:"error,omitempty"`
	Cause      string             `json:"cause,omitempty"`
	InstanceID string             `json:"instanceId,omitempty"`
	Policy     string             `json:"policy,omitempty"`
	StartedAt  time.Time          `json:"startedAt"`
	StoppedAt  *time.Time         `json:"stoppedAt,omitempty"`
	Timeline   []visit            `json:"timeline"`
	FrozenMs   float64            `json:"frozenMs"`       // by the instance's clock
	CallMs     float64            `json:"snapshotCallMs"` // of the call that made the set
	Evidence   *protocol.Evidence `json:"evidence"`       // null: none came home
	Verdict    *run.Verdict       `json:"verdict"`        // null: it is not judged
	NextMove   string             `json:"nextMove,omitempty"`
	Set        []kept             `json:"set"` // as it is now; of a local run, as it was
	Notes      []string           `json:"notes,omitempty"`
}

// visit is one state's, in the order in which they were entered.
type visit struct {
	State  string    `json:"state"`
	Type   string    `json:"type"`
	At     time.Time `json:"at"`
	TookMs float64   `json:"tookMs"`
	Open   bool      `json:"open,omitempty"` // it has not been left
	Failed string    `json:"failed,omitempty"`
}

// kept is a member of the set with its tags, by which everybody else knows it.
type kept struct {
	run.Snapshot
	Tags map[string]string `json:"tags,omitempty"`
}

// take adds a passage: a state's entry, then its end.
func (s *shown) take(p history.Passage) {
	if !p.Done {
		s.Timeline = append(s.Timeline, visit{State: p.State, Type: p.Type, At: p.At, Open: true})
		return
	}
	if n := len(s.Timeline); n > 0 && s.Timeline[n-1].State == p.State {
		last := &s.Timeline[n-1]
		last.TookMs, last.Open, last.Failed = float64(p.Took.Microseconds())/1000, false, p.Failed
	}
}

// read takes over what the execution's document says.
func (s *shown) read(state run.State) {
	request := state.Request.Read()
	s.InstanceID, s.Policy = request.InstanceID, request.Policy.Name
	if p := state.Plan; p != nil {
		s.InstanceID, s.Policy = p.Target.InstanceID, p.Policy.Name
	}
	if t := state.Thaw; t != nil && t.Evidence != nil {
		s.Evidence, s.FrozenMs = t.Evidence, t.Evidence.FrozenMs
	}
	s.Set = []kept{}
	if state.Set != nil {
		s.CallMs = state.Set.CallMs
		members := state.Set.Snapshots
		if state.Status != nil && len(state.Status.Snapshots) > 0 {
			members = state.Status.Snapshots // looked at later
		}
		for _, m := range members {
			s.Set = append(s.Set, kept{Snapshot: m})
		}
	}
	if s.Verdict = state.Verdict; s.Verdict != nil {
		s.NextMove = fault.Code(s.Verdict.Code).NextMove()
	}
}

func (c *showCmd) Run(ctx context.Context, s *streams) error {
	found, err := c.find(ctx)
	if err != nil {
		return err
	}
	if c.Output == "json" {
		return writeJSON(s.out, found)
	}
	showRun(s.out, found)
	return nil
}

// find looks among the runs of this machine first, because their ids are nobody
// else's.
func (c *showCmd) find(ctx context.Context) (*shown, error) {
	if !strings.HasPrefix(c.RunID, "arn:") {
		found, err := recorded(c.RunID)
		if err == nil || !errors.Is(err, fs.ErrNotExist) {
			return found, err
		}
		if c.StateMachine == "" {
			return nil, fault.Input("run", "%s is none of this machine; of one in a cloud say its ARN, or --state-machine", c.RunID)
		}
	}
	cfg, err := c.config(ctx)
	if err != nil {
		return nil, err
	}
	arn := access{StateMachine: c.StateMachine}.execution(c.RunID)
	found := &shown{Where: arn, Timeline: []visit{}}
	record, err := history.Tell(ctx, sfn.NewFromConfig(cfg), arn, found.take)
	if err != nil {
		return nil, err
	}
	found.RunID, found.Status, found.Error, found.Cause = record.RunID, record.Status, record.Error, record.Cause
	found.StartedAt, found.StoppedAt = record.StartedAt, record.StoppedAt
	found.read(record.State)
	set, err := awscloud.New(cfg, awscloud.Options{}).FindSet(ctx, record.RunID)
	switch {
	case err != nil:
		found.Notes = append(found.Notes, "the set is shown as it was: "+err.Error())
	case len(set) == 0 && len(found.Set) > 0:
		found.Notes = append(found.Notes, "the set is gone: no snapshot carries the run's tag any more")
	default:
		found.now(set)
	}
	return found, nil
}

// now puts the set as it is in the place of what the run said of it.
func (s *shown) now(set []cloud.TaggedSnapshot) {
	was := len(s.Set)
	s.Set = []kept{}
	for _, m := range set {
		s.Set = append(s.Set, kept{m.Snapshot, m.Tags})
	}
	slices.SortFunc(s.Set, func(a, b kept) int { return strings.Compare(a.VolumeID, b.VolumeID) })
	if was > len(set) {
		s.Notes = append(s.Notes, fmt.Sprintf("%d of the set's %d snapshots are gone", was-len(set), was))
	}
}

// tags are those that all members have alike.
func (s *shown) tags() map[string]string {
	if len(s.Set) == 0 {
		return nil
	}
	alike := maps.Clone(s.Set[0].Tags)
	for _, m := range s.Set[1:] {
		maps.DeleteFunc(alike, func(k, v string) bool { return m.Tags[k] != v })
	}
	return alike
}
