package ec2

import (
	"context"
	"encoding/xml"
	"slices"
	"strconv"
	"time"

	"github.com/quiesce/quiesce/local/aws/wire"
)

type xmlSnapshot struct {
	ID          string   `xml:"snapshotId"`
	VolumeID    string   `xml:"volumeId"`
	Size        int64    `xml:"volumeSize"`
	State       string   `xml:"state,omitempty"`  // of CreateSnapshots
	Status      string   `xml:"status,omitempty"` // of the others
	Message     string   `xml:"statusMessage,omitempty"`
	Started     string   `xml:"startTime"`
	Completed   string   `xml:"completionTime,omitempty"`
	Progress    string   `xml:"progress"`
	Owner       string   `xml:"ownerId"`
	Description string   `xml:"description"`
	Encrypted   bool     `xml:"encrypted"`
	Key         string   `xml:"kmsKeyId,omitempty"`
	Tier        string   `xml:"storageTier,omitempty"`
	Tags        []xmlTag `xml:"tagSet>item"`
}

func (e *EC2) renderSnapshot(s *snapshot, info bool) xmlSnapshot {
	now := time.Now()
	x := xmlSnapshot{
		ID: s.id, VolumeID: s.volume, Size: s.gib, Started: wire.Time(s.started), Progress: s.progress(now),
		Owner: e.cfg.Account, Description: s.description, Encrypted: s.key != "", Tags: xmlTags(s.tags),
	}
	state := s.state(now)
	if info {
		x.State = state
		return x
	}
	x.Status, x.Tier, x.Key = state, s.tier(now), s.key
	switch state {
	case completed:
		x.Completed = wire.Time(s.done)
	case failed:
		x.Message = "Another snapshot of the set is in status error"
		if s.copy {
			x.Message = "Given key ID is not accessible"
		}
	}
	return x
}

func (e *EC2) describeSnapshots(_ context.Context, c *wire.Call, q query) (any, error) {
	out := struct {
		XMLName xml.Name      `xml:"snapshotSet"`
		Items   []xmlSnapshot `xml:"item"`
	}{}
	next := struct {
		XMLName xml.Name `xml:"nextToken"`
		Token   string   `xml:",chardata"`
	}{}
	asked := q.list("SnapshotId")
	if len(asked) > 0 && q.text("MaxResults") != "" {
		return nil, wire.Bad("InvalidParameterCombination", "The parameter snapshotSet cannot be used with the parameter maxResults")
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range asked {
		if _, err := e.snapshot(id); err != nil {
			return nil, err
		}
	}
	now := time.Now()
	var found []*snapshot
	for _, id := range e.order {
		s := e.snapshots[id]
		if len(asked) > 0 && !slices.Contains(asked, id) {
			continue
		}
		if len(asked) == 0 && now.Sub(s.started) < e.cfg.Visible {
			continue
		}
		ok, err := matches(q.filters(), map[string][]string{
			"snapshot-id":  {id},
			"volume-id":    {s.volume},
			"status":       {s.state(now)},
			"progress":     {s.progress(now)},
			"owner-id":     {e.cfg.Account},
			"description":  {s.description},
			"start-time":   {wire.Time(s.started)},
			"encrypted":    {strconv.FormatBool(s.key != "")},
			"storage-tier": {s.tier(now)},
		}, s.tags)
		if err != nil {
			return nil, err
		}
		if ok {
			found = append(found, s)
		}
	}
	if c.Planned.Wrong && len(found) > 0 {
		found = found[:len(found)-1] // a list that lags behind lacks some
	}
	from, to, token, err := page(q, len(found))
	if err != nil {
		return nil, err
	}
	for _, s := range found[from:to] {
		out.Items = append(out.Items, e.renderSnapshot(s, false))
	}
	next.Token = token
	return []any{out, next}, nil
}

// completion is the event of a snapshot or of a set, best effort on the real
// bus: without tags, the snapshots named by ARN.
func (e *EC2) completion(set []*snapshot, multi bool) (detailType string, resources []string, detail any) {
	type member struct {
		Snapshot string `json:"snapshot_id"`
		Source   string `json:"source"`
		Status   string `json:"status"`
	}
	s := set[0]
	result, status, cause := "succeeded", completed, ""
	if s.fails {
		result, status, cause = "failed", failed, "Snapshot "+s.id+" is in status error"
	}
	const stamp = "2006-01-02T15:04:05Z"
	common := map[string]any{
		"result": result, "cause": cause, "request-id": "",
		"startTime": s.started.UTC().Format(stamp), "endTime": s.done.UTC().Format(stamp),
	}
	var members []member
	for _, s := range set {
		resources = append(resources, e.arn("snapshot", s.id))
		members = append(members, member{e.arn("snapshot", s.id), e.arn("volume", s.volume), status})
	}
	if !multi {
		common["event"] = "createSnapshot"
		common["snapshot_id"], common["source"] = members[0].Snapshot, members[0].Source
		return "EBS Snapshot Notification", resources, common
	}
	common["event"], common["snapshots"] = "createSnapshots", members
	return "EBS Multi-Volume Snapshots Completion Status", resources, common
}
