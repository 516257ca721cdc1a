// Package vss knows AWS's own documents for Windows, which install the
// components for Volume Shadow Copy and take a set of all volumes in one command:
// how they are called, what they need, and what their answers mean. They freeze
// and thaw on the instance, within the ten seconds that Windows allows; what they
// prove is what they write on the snapshots.
package vss

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

// Document installs or updates the components first. Step is the one of its
// steps that takes the set.
const (
	Document = "AWSEC2-VssInstallAndSnapshot"
	Step     = "CreateVssSnapshot"
)

// Tags that the component writes on each snapshot. TagApp is there, and true,
// only if it succeeded; TagConfig names the components and the set of shadow
// copies.
const (
	TagApp    = "AppConsistent"
	TagConfig = "AwsVssConfig"
	TagDevice = "Device"
)

// Spec is one call of the document with all of its parameters. Every text of it
// is held to characters that mean nothing to a shell, to PowerShell or to the
// document's own list of tags.
type Spec struct {
	ExcludeBoot bool
	NoWriters   bool
	CopyOnly    bool
	Metadata    bool
	Logs        bool
	Version     string
	Description string
	Seconds     int
	Tags        map[string]string
}

// Of makes the call of a plan. The tags are those by which every set is known:
// no call of ours could put them on.
func Of(plan run.Plan) Spec {
	p := plan.Policy
	s := Spec{
		ExcludeBoot: p.Volumes.ExcludeBoot, NoWriters: p.Application.Kind == policy.None,
		CopyOnly: p.Shadow.CopyOnly, Metadata: p.Shadow.SaveMetadata, Logs: p.Shadow.CollectLogs,
		Version: p.Shadow.Version, Description: p.Shadow.Description, Seconds: p.Shadow.Seconds(),
		Tags: map[string]string{},
	}
	if s.Description == "" {
		s.Description = "Quiesce run " + plan.RunID
	}
	maps.Copy(s.Tags, p.Tags)
	maps.Copy(s.Tags, map[string]string{
		cloud.TagRun: plan.RunID, cloud.TagPolicy: p.Name, cloud.TagInstance: plan.Target.InstanceID,
		cloud.TagMembers: strconv.Itoa(len(plan.Volumes)),
	})
	return s
}

var (
	plain   = regexp.MustCompile(`^[A-Za-z0-9 _.:/=+@-]*$`)
	version = regexp.MustCompile(`^([0-9]{1,3}(\.[0-9]{1,5}){1,3})?$`)
)

// Check refuses, by the field that a user wrote it in, what must not reach the
// document.
func (s Spec) Check() error {
	switch {
	case !plain.MatchString(s.Description) || len(s.Description) > 255:
		return fault.Input("policy.vss.description", "wants at most 255 letters of English, digits, spaces or _.:/=+-@, got %q", s.Description)
	case !version.MatchString(s.Version):
		return fault.Input("policy.vss.version", "wants a version such as 2.5.1, got %q", s.Version)
	case s.Seconds < 60 || s.Seconds > 3600:
		return fault.Input("policy.vss.timeoutSeconds", "wants 60-3600, got %d", s.Seconds)
	case s.NoWriters && s.Metadata:
		return fault.Input("policy.vss.saveMetadata", "is true, but application.kind is none, which leaves the writers out")
	case len(s.Tags) > maxTags:
		return fault.Input("policy.tags", "makes %d tags of a snapshot, with Quiesce's own and AWS's; EC2 takes 50", len(s.Tags)+others)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		switch value := s.Tags[key]; {
		case slices.Contains(policy.Written, key):
			return fault.Input("policy.tags."+key, "is what AWS's document writes by itself")
		case key == "" || !plain.MatchString(key) || !plain.MatchString(value):
			return fault.Input("policy.tags."+key, "wants letters of English, digits, spaces or _.:/=+-@, got %q", value)
		}
	}
	return nil
}

// Of the 50 tags of a snapshot the component writes four, a name among them, and
// the verdict four besides.
const (
	others  = 8
	maxTags = 50 - others
)

// Parameters are the document's, each of them that has a meaning here, so that a default that AWS
// changes changes nothing here. An image is never made: it would be no set, and
// whoever wants one makes it of the set.
func (s Spec) Parameters() (map[string]string, error) {
	if err := s.Check(); err != nil {
		return nil, err
	}
	return map[string]string{
		"ExcludeBootVolume":     word(s.ExcludeBoot),
		"NoWriters":             word(s.NoWriters),
		"CopyOnly":              word(s.CopyOnly),
		"SaveVssMetadata":       word(s.Metadata),
		"CollectDiagnosticLogs": word(s.Logs),
		"CreateAmi":             word(false), // hence no AmiName
		"VssVersion":            s.Version,
		"description":           s.Description,
		"executionTimeout":      strconv.Itoa(s.Seconds),
		"tags":                  s.tags(),
	}, nil
}

func word(b bool) string {
	if b {
		return "True"
	}
	return "False"
}

// tags writes the document's list: Key=a,Value=b;Key=c,Value=d. What was checked
// holds neither of its two marks.
func (s Spec) tags() string {
	var list []string
	for _, key := range slices.Sorted(maps.Keys(s.Tags)) {
		list = append(list, "Key="+key+",Value="+s.Tags[key])
	}
	return strings.Join(list, ";")
}

// install is how long the document's first step may take, which fetches a
// package and which its own limit leaves out.
const install = 10 * time.Minute

// Limit is how long a command may be under way until nobody waits for it.
func Limit(plan run.Plan) time.Duration {
	return install + time.Duration(plan.Policy.Shadow.Seconds())*time.Second
}

// Comment is by what an attempt's command is found whose answer was lost,
// attempts numbered from 0.
func Comment(runID string, attempt int) string {
	return fmt.Sprintf("quiesce vss %d %s", attempt, runID)
}

// Written reports that the component wrote its word on a snapshot.
func Written(tags map[string]string) bool { return strings.EqualFold(tags[TagApp], "true") }
