package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/functions"
)

// rights is what IAM asks for an operation where that is not its own name.
var rights = map[string][]string{
	"ec2:CreateSnapshots": {"ec2:CreateSnapshots", "ec2:CreateTags"}, // it tags what it creates
	"ec2:RegisterImage":   {"ec2:RegisterImage", "ec2:CreateTags"},   // and it
	"ec2:RunInstances":    {"ec2:RunInstances", "ec2:CreateTags"},    // and it
	"ec2:CreateVolume":    {"ec2:CreateVolume", "ec2:CreateTags"},    // so does it
	"s3:ListObjectsV2":    {"s3:ListBucket"},
}

// thinkers are the steps that call nobody.
var thinkers = []string{"arrange"}

// unused are operations that the search finds and no call makes, each with the
// reason.
var unused = map[string]map[string]string{
	"thaw":         {"s3:GetObject": "it takes the helper's checksum from the port and leaves the signed address alone"},
	"restore-move": {"ec2:CreateTags": "it notes what a disk becomes where disks are set back, which EC2 does not do"},
}

// besides are rights that no operation of a step's code asks for.
var besides = map[string]map[string]string{
	"thaw":         {"sqs:SendMessage": "Lambda parks an event that thaw failed on, under its role"},
	"prune":        {"sqs:SendMessage": "Lambda parks an event that prune failed on, under its role"},
	"verify-clean": {"sqs:SendMessage": "Lambda parks an event that verify-clean failed on, under its role"},
	"curate": {
		"sqs:SendMessage":                     "Lambda parks an event that curate failed on, under its role",
		"kms:CreateGrant":                     "EBS encrypts a copy under the caller's rights, as for the next four",
		"kms:Decrypt":                         "EBS reads an encrypted set for the copy",
		"kms:GenerateDataKeyWithoutPlaintext": "EBS makes the copy's own data key",
		"kms:ReEncryptFrom":                   "EBS goes over from the set's key",
		"kms:ReEncryptTo":                     "EBS goes over to the copy's key",
	},
	"restore-create": {
		"kms:Decrypt":       "EC2 reads the snapshot's data key with it, in this role's name",
		"kms:ReEncryptFrom": "EC2 makes the disk's data key of the snapshot's",
		"kms:ReEncryptTo":   "EC2 makes the disk's data key of the snapshot's",
		"kms:CreateGrant":   "EC2 lets the disk use its key",
	},
	"restore-image": {
		"kms:Decrypt":       "EC2 reads the snapshots' data keys with it, in this role's name",
		"kms:ReEncryptFrom": "EC2 makes the disks' data keys of the snapshots'",
		"kms:ReEncryptTo":   "EC2 makes the disks' data keys of the snapshots'",
		"kms:CreateGrant":   "EC2 lets the disks use their keys",
	},
	"restore-move":   {"kms:CreateGrant": "EC2 lets the instance use the key of a disk that it attaches"},
	"restore-power":  {"kms:CreateGrant": "EC2 lets the instance use the keys of its disks when it starts"},
	"restore-report": {"sqs:SendMessage": "Lambda parks an event that restore-report failed on, under its role"},
	"wake": {
		"sqs:SendMessage": "Lambda parks an event that wake failed on, under its role",
		"s3:ListBucket":   "without it S3 says denied of an object that does not exist",
	},
}

// compare tells how the rights of a step differ from what its code calls.
func compare(step string, operations []string, granted []grant) (complaints []string) {
	complain := func(format string, args ...any) { complaints = append(complaints, fmt.Sprintf(format, args...)) }
	called, given := map[string]bool{}, map[string]bool{}
	for _, operation := range operations {
		if _, never := unused[step][operation]; never {
			continue
		}
		of, special := rights[operation]
		if !special {
			of = []string{operation}
		}
		for _, right := range of {
			called[right] = true
		}
	}
	for operation := range unused[step] {
		if !slices.Contains(operations, operation) {
			complain("%s cannot call %s any more: it needs no excuse", step, operation)
		}
	}
	for _, g := range granted {
		for _, action := range g.actions {
			given[action] = true
		}
	}
	for _, right := range sortedKeys(called) {
		if !given[right] {
			complain("%s can call %s, which it is not granted", step, right)
		}
	}
	for _, right := range sortedKeys(given) {
		if _, known := besides[step][right]; called[right] == known {
			complain("%s is granted %s, which it never calls, or has an excuse for what it calls", step, right)
		}
	}
	return complaints
}

func TestGrantsAreWhatTheCodeCalls(t *testing.T) {
	p := load(t)
	steps := p.steps(t)
	for _, step := range functions.Names {
		operations := p.calls(steps[step])
		if thinks := slices.Contains(thinkers, step); thinks != (len(operations) == 0) {
			t.Errorf("%s calls %v of AWS: either it is a thinker, or the search is broken", step, operations)
		}
		for _, complaint := range compare(step, operations, grants[step]) {
			t.Error(complaint)
		}
	}
	for step := range grants {
		if !slices.Contains(functions.Names, step) {
			t.Errorf("%s is granted something and is no function", step)
		}
	}
	if got, want := p.calls(steps["freeze"]), []string{"ssm:CancelCommand", "ssm:GetCommandInvocation", "ssm:SendCommand"}; !slices.Equal(got, want) {
		t.Errorf("freeze: got %v, want %v", got, want)
	}
}

func TestComparisonBites(t *testing.T) {
	few := []grant{{actions: []string{"ec2:DescribeSnapshots"}}}
	for _, c := range []struct {
		name, step string
		operations []string
		granted    []grant
		want       int
	}{
		{"as it is", "poll-status", []string{"ec2:DescribeSnapshots"}, few, 0},
		{"a right is missing", "poll-status", []string{"ec2:DescribeSnapshots", "events:PutEvents"}, few, 1},
		{"a right too many", "poll-status", nil, few, 1},
		{"an operation by another name", "report", []string{"s3:ListObjectsV2"}, []grant{{actions: []string{"s3:ListBucket"}}}, 0},
		{"tags at creation need their own right", "snapshot", []string{"ec2:CreateSnapshots"}, []grant{{actions: []string{"ec2:CreateSnapshots"}}}, 1},
		{"an excuse that is needed no more", "thaw", nil, nil, 1},
	} {
		if got := compare(c.step, c.operations, c.granted); len(got) != c.want {
			t.Errorf("%s: got %q, want %d complaints", c.name, got, c.want)
		}
	}
}

// Whoever grants a star says why nothing narrower does.
func TestStarsHaveAReason(t *testing.T) {
	for step, list := range grants {
		for _, g := range slices.Concat(list, everyFunction) {
			star := slices.ContainsFunc(g.on, func(r string) bool { return strings.HasSuffix(r, "*") })
			if star && len(g.why) < 20 {
				t.Errorf("%s, %s: has a star and no reason", step, g.sid)
			}
			if slices.Contains(g.on, "*") && len(g.when) == 0 && g.sid != "Trace" {
				t.Errorf("%s, %s: is about everything, under no condition", step, g.sid)
			}
			if slices.ContainsFunc(g.actions, func(a string) bool { return strings.Contains(a, "*") }) {
				t.Errorf("%s, %s: grants actions by a pattern", step, g.sid)
			}
		}
	}
}
