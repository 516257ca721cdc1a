package main

import (
	"maps"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/cloud"
)

// What is granted in the Regions to which policies copy, besides the own one.

// copyRegions is the place that lists them; {copy-region} stands for one.
const copyRegions = "copy-regions"

// Why a resource ends in a star though the API knows it.
const (
	anyCopy  = "A copy has no name before it is made; the condition demands that the request marks it as a run's."
	whoseKey = "Which key a volume is encrypted with is its owner's choice; the keys' own policies decide, and the condition lets EC2 alone use them."
)

// copyRegions are the Regions that any policy copies to.
func (c config) copyRegions() (regions []string) {
	for _, p := range c.policies {
		for _, one := range p.Copies {
			regions = append(regions, one.Region)
		}
	}
	slices.Sort(regions)
	return slices.Compact(regions)
}

// perCopy tells whether the grant is made for every such Region, and for which.
func (g grant) perCopy(places map[string]string) (regions []string, ok bool) {
	texts := slices.Clone(g.on)
	for _, keys := range g.when {
		texts = append(texts, slices.Collect(maps.Values(keys))...)
	}
	if _, done := places["copy-region"]; done || !slices.ContainsFunc(texts, func(t string) bool { return strings.Contains(t, "{copy-region}") }) {
		return nil, false
	}
	return strings.Fields(places[copyRegions]), true
}

// copyTo is places with a Region for {copy-region}.
func copyTo(places map[string]string, region string) map[string]string {
	with := maps.Clone(places)
	with["copy-region"] = region
	return with
}

// abroad is the grants as they are, and once more for every such Region.
func abroad(grants []grant) []grant {
	there := strings.NewReplacer("{region}", "{copy-region}")
	all := slices.Clone(grants)
	for _, g := range grants {
		g.sid += "Abroad"
		g.on = slices.Clone(g.on)
		for i, r := range g.on {
			g.on[i] = there.Replace(r)
		}
		when := conditions{}
		for operator, keys := range g.when {
			when[operator] = map[string]string{}
			for key, value := range keys {
				when[operator][key] = there.Replace(value)
			}
		}
		g.when = when
		all = append(all, g)
	}
	return all
}

// ownRuns holds for a snapshot of a run, asCopy for one that the request marks
// as a copy of a run's.
var (
	ownRuns = conditions{"Null": {"aws:ResourceTag/" + cloud.TagRun: "false"}}
	asCopy  = conditions{"Null": {"aws:RequestTag/" + cloud.TagRun: "false", "aws:RequestTag/" + cloud.TagCopyOf: "false"}}
)

// pruning is what prune does in a Region.
var pruning = []grant{lookAtSnapshots, label,
	{
		sid: "LookForHolds", actions: []string{"ec2:DescribeLockedSnapshots", "ec2:DescribeImages"}, on: []string{"*"}, when: here,
		why: "EC2's Describe operations know no resources.",
	},
	{sid: "LookWhoShares", actions: []string{"ec2:DescribeSnapshotAttribute"}, on: []string{anySnapshot}, when: ownRuns, why: ownSets},
	{sid: "DeleteMarked", actions: []string{"ec2:DeleteSnapshot"}, on: []string{anySnapshot}, when: doomed, why: markedSets},
}

// copying is what curate does in a Region that sets are copied to; in the own
// one, but for the look, it is not needed and costs nothing: there are no copies.
var copying = []grant{lookAtSnapshots, label,
	{sid: "AsACopy", actions: []string{"ec2:CopySnapshot"}, on: []string{anySnapshot}, when: asCopy, why: anyCopy},
	{
		sid: "TagAtCreation", actions: []string{"ec2:CreateTags"}, on: []string{anySnapshot},
		when: conditions{"StringEquals": {"ec2:CreateAction": "CopySnapshot"}}, why: anyCopy,
	},
	{
		sid: "LetEBSUseKeys", on: []string{"arn:{partition}:kms:{region}:{account}:key/*"}, why: whoseKey,
		actions: []string{"kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo"},
		when:    conditions{"StringEquals": {"kms:ViaService": "ec2.{region}.amazonaws.com"}},
	},
	{
		sid: "LetEBSKeepKeys", on: []string{"arn:{partition}:kms:{region}:{account}:key/*"}, why: whoseKey,
		actions: []string{"kms:CreateGrant"},
		when:    conditions{"StringEquals": {"kms:ViaService": "ec2.{region}.amazonaws.com"}, "Bool": {"kms:GrantIsForAWSResource": "true"}},
	},
}

// curating is what curate does with the sets themselves. None of it can be given
// to everybody, and nothing can be unlocked or deleted.
var curating = []grant{
	{sid: "CopyRuns", actions: []string{"ec2:CopySnapshot"}, on: []string{anySnapshot}, when: ownRuns, why: ownSets},
	{
		sid: "LookHowTheyAreHeld", actions: []string{"ec2:DescribeLockedSnapshots", "ec2:DescribeFastSnapshotRestores", "ec2:DescribeSnapshotTierStatus"},
		on: []string{"*"}, when: here, why: "EC2's Describe operations know no resources.",
	},
	{sid: "LockRuns", actions: []string{"ec2:LockSnapshot"}, on: []string{anySnapshot}, when: ownRuns, why: ownSets},
	{
		sid: "ShareRuns", actions: []string{"ec2:ModifySnapshotAttribute"}, on: []string{anySnapshot}, why: ownSets,
		when: conditions{"Null": {"aws:ResourceTag/" + cloud.TagRun: "false", "ec2:Add/group": "true"}},
	},
	{
		sid: "MoveRuns", actions: []string{"ec2:ModifySnapshotTier", "ec2:EnableFastSnapshotRestores", "ec2:DisableFastSnapshotRestores"},
		on: []string{anySnapshot}, when: ownRuns, why: ownSets,
	},
	{sid: "LookWhoseKey", actions: []string{"kms:DescribeKey"}, on: []string{"arn:{partition}:kms:{region}:{account}:key/*"}, why: whoseKey},
}
