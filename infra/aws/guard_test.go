package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/quiesce/quiesce/shared/policy"
)

// The account of the tests, as IAM writes its ARNs.
const (
	region = "eu-central-1"
	number = "123456789012"
	bucket = "work"

	copyRegion = "eu-west-1" // that policies copy to
)

var there = map[string]string{
	"partition": "aws", "region": region, "account": number, "name": "quiesce", "document": "quiesce-helper", "shadow": "quiesce-shadow",
	"bus": "arn:aws:events:" + region + ":" + number + ":event-bus/default", "work": "arn:aws:s3:::" + bucket,
	"copy-region":  copyRegion,
	"helper-amd64": "arn:aws:s3:::" + bucket + "/helper", "helper-arm64": "arn:aws:s3:::" + bucket + "/helper-arm64",
}

// ask is what IAM decides on: one action on one resource, under what is known
// of the call.
type ask struct {
	action, resource string
	keys             map[string]string
}

// allows decides as IAM does, for what the grants use of it.
func allows(granted []grant, optIns []policy.OptIn, a ask) bool {
	return slices.ContainsFunc(granted, func(g grant) bool {
		if !slices.Contains(g.actions, a.action) {
			return false
		}
		for _, tag := range optIns {
			fill := replacer(there, tag)
			on := slices.ContainsFunc(g.on, func(r string) bool { return like(fill.Replace(r), a.resource) })
			if on && holds(g.when, fill, a.keys) {
				return true
			}
		}
		return false
	})
}

func like(pattern, value string) bool {
	before, after, star := strings.Cut(pattern, "*")
	if !star || !strings.HasPrefix(value, before) {
		return pattern == value
	}
	for i := len(before); i <= len(value); i++ {
		if like(after, value[i:]) {
			return true
		}
	}
	return false
}

func holds(when conditions, fill *strings.Replacer, keys map[string]string) bool {
	for operator, wants := range when {
		for key, want := range wants {
			got, known := keys[fill.Replace(key)]
			want = fill.Replace(want)
			if name, variable := strings.CutPrefix(want, "${"); variable {
				value, given := keys[strings.TrimSuffix(name, "}")]
				if !given {
					return false
				}
				want = value
			}
			var right bool
			switch operator {
			case "StringEquals", "Bool":
				right = known && got == want
			case "StringLike":
				right = known && like(want, got)
			case "Null":
				right = (want == "true") != known
			default:
				panic("nobody wrote down what " + operator + " means")
			}
			if !right {
				return false
			}
		}
	}
	return true
}

// guard lets through what a role's grants allow, and denies the rest in the
// words of the service, with nothing done.
type guard struct {
	granted []grant
	next    http.RoundTripper
	tags    func(resource string) map[string]string // of instances and snapshots
	denied  func(ask)
}

func (g guard) RoundTrip(r *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	for _, a := range g.asks(r, body) {
		if !allows(g.granted, []policy.OptIn{policy.Default().OptIn}, a) {
			g.denied(a)
			return &http.Response{StatusCode: http.StatusForbidden, Header: http.Header{}, Body: io.NopCloser(strings.NewReader("")), Request: r}, nil
		}
	}
	return g.next.RoundTrip(r)
}

// asks reads out of a request what IAM would be asked for it.
func (g guard) asks(r *http.Request, body []byte) []ask {
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		return g.asksJSON(target, body)
	}
	if form, err := url.ParseQuery(string(body)); err == nil && form.Get("Action") != "" {
		return g.asksEC2(form, signedFor(r))
	}
	_, key, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	if !strings.HasPrefix(r.URL.Path, "/"+bucket) { // the bucket is in the host's name
		key = strings.TrimPrefix(r.URL.Path, "/")
	}
	switch {
	case key == "":
		return []ask{{"s3:ListBucket", there["work"], map[string]string{"s3:prefix": r.URL.Query().Get("prefix")}}}
	case r.Method == http.MethodPut:
		return []ask{{"s3:PutObject", there["work"] + "/" + key, nil}}
	}
	return []ask{{"s3:GetObject", there["work"] + "/" + key, nil}}
}

func (g guard) asksJSON(target string, body []byte) (list []ask) {
	var in struct {
		DocumentName string
		InstanceIds  []string
		Entries      []struct{ Source string }
		KeyId        string
		Machine      string `json:"stateMachineArn"`
		Execution    string `json:"executionArn"`
	}
	_ = json.Unmarshal(body, &in)
	service, action, _ := strings.Cut(target, ".")
	name := map[string]string{"AmazonSSM": "ssm", "AWSEvents": "events", "AWSStepFunctions": "states", "TrentService": "kms"}[service] + ":" + action
	switch name {
	case "ssm:SendCommand":
		owner := number
		if strings.HasPrefix(in.DocumentName, "AWS") { // is under no account
			owner = ""
		}
		list = append(list, ask{name, "arn:aws:ssm:" + region + ":" + owner + ":document/" + in.DocumentName, nil})
		for _, id := range in.InstanceIds {
			list = append(list, ask{name, instanceARN(id), g.prefixed("ssm:resourceTag/", g.tags(id))})
		}
	case "events:PutEvents":
		for _, e := range in.Entries {
			list = append(list, ask{name, there["bus"], map[string]string{"events:source": e.Source}})
		}
	case "kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext":
		list = append(list, ask{name, in.KeyId, nil})
	case "states:ListExecutions":
		list = append(list, ask{name, in.Machine, nil})
	case "states:DescribeExecution":
		list = append(list, ask{name, in.Execution, nil})
	case "states:SendTaskSuccess":
		list = append(list, ask{name, "arn:aws:states:" + region + ":" + number + ":stateMachine:quiesce-snapshot", nil})
	default:
		list = append(list, ask{name, "any", map[string]string{"aws:RequestedRegion": region}})
	}
	return list
}

// signedFor is the Region that a request is for.
func signedFor(r *http.Request) string {
	scope := strings.Split(r.Header.Get("Authorization"), "/")
	if len(scope) < 4 {
		return region
	}
	return scope[2]
}

func (g guard) asksEC2(form url.Values, region string) []ask {
	snapshots := "arn:aws:ec2:" + region + "::snapshot/"
	name := "ec2:" + form.Get("Action")
	requested := map[string]string{}
	for _, prefix := range []string{"TagSpecification.1.", ""} {
		for i := 1; form.Has(fmt.Sprintf("%sTag.%d.Key", prefix, i)); i++ {
			requested[form.Get(fmt.Sprintf("%sTag.%d.Key", prefix, i))] = form.Get(fmt.Sprintf("%sTag.%d.Value", prefix, i))
		}
	}
	asked := g.prefixed("aws:RequestTag/", requested)
	switch name {
	case "ec2:CreateSnapshots":
		id := form.Get("InstanceSpecification.InstanceId")
		tagging := g.prefixed("aws:RequestTag/", requested)
		tagging["ec2:CreateAction"] = "CreateSnapshots"
		return []ask{
			{name, instanceARN(id), g.prefixed("aws:ResourceTag/", g.tags(id))},
			{name, "arn:aws:ec2:" + region + ":" + number + ":volume/vol-1", nil},
			{name, snapshots + "new", asked},
			{"ec2:CreateTags", snapshots + "new", tagging},
		}
	case "ec2:CopySnapshot":
		tagging := g.prefixed("aws:RequestTag/", requested)
		tagging["ec2:CreateAction"] = "CopySnapshot"
		source := form.Get("SourceSnapshotId")
		return []ask{
			{name, "arn:aws:ec2:" + form.Get("SourceRegion") + "::snapshot/" + source, g.prefixed("aws:ResourceTag/", g.tags(source))},
			{name, snapshots + "new", asked},
			{"ec2:CreateTags", snapshots + "new", tagging},
		}
	case "ec2:EnableFastSnapshotRestores", "ec2:DisableFastSnapshotRestores":
		id := form.Get("SourceSnapshotId.1")
		return []ask{{name, snapshots + id, g.prefixed("aws:ResourceTag/", g.tags(id))}}
	case "ec2:DeleteSnapshot", "ec2:DescribeSnapshotAttribute", "ec2:LockSnapshot", "ec2:ModifySnapshotAttribute", "ec2:ModifySnapshotTier":
		id := form.Get("SnapshotId")
		return []ask{{name, snapshots + id, g.prefixed("aws:ResourceTag/", g.tags(id))}}
	case "ec2:CreateVolume":
		tagging := g.prefixed("aws:RequestTag/", requested)
		tagging["ec2:CreateAction"] = "CreateVolume"
		return []ask{
			{name, snapshots + form.Get("SnapshotId"), g.prefixed("aws:ResourceTag/", g.tags(form.Get("SnapshotId")))},
			{name, diskARN("new"), asked},
			{"ec2:CreateTags", diskARN("new"), tagging},
		}
	case "ec2:AttachVolume", "ec2:DetachVolume", "ec2:DeleteVolume", "ec2:ModifyInstanceAttribute":
		var list []ask
		if id := form.Get("InstanceId"); id != "" {
			list = append(list, ask{name, instanceARN(id), g.prefixed("aws:ResourceTag/", g.tags(id))})
		}
		if id := form.Get("VolumeId"); id != "" {
			list = append(list, ask{name, diskARN(id), g.prefixed("aws:ResourceTag/", g.tags(id))})
		}
		return list
	case "ec2:RegisterImage":
		tagging := g.prefixed("aws:RequestTag/", requested)
		tagging["ec2:CreateAction"] = "RegisterImage"
		list := []ask{{name, imageARN("new"), asked}, {"ec2:CreateTags", imageARN("new"), tagging}}
		for i := 1; form.Has(fmt.Sprintf("BlockDeviceMapping.%d.Ebs.SnapshotId", i)); i++ {
			id := form.Get(fmt.Sprintf("BlockDeviceMapping.%d.Ebs.SnapshotId", i))
			list = append(list, ask{name, snapshots + id, g.prefixed("aws:ResourceTag/", g.tags(id))})
		}
		return list
	case "ec2:RunInstances":
		tagging := g.prefixed("aws:RequestTag/", requested)
		tagging["ec2:CreateAction"] = "RunInstances"
		return []ask{
			{name, imageARN(form.Get("ImageId")), g.prefixed("aws:ResourceTag/", g.tags(form.Get("ImageId")))},
			{name, instanceARN("new"), asked}, {name, diskARN("new"), asked},
			{name, "arn:aws:ec2:" + region + ":" + number + ":subnet/" + form.Get("SubnetId"), nil},
			{name, "arn:aws:ec2:" + region + ":" + number + ":network-interface/new", nil},
			{"ec2:CreateTags", instanceARN("new"), tagging}, {"ec2:CreateTags", diskARN("new"), tagging},
		}
	case "ec2:DeregisterImage":
		return []ask{{name, imageARN(form.Get("ImageId")), g.prefixed("aws:ResourceTag/", g.tags(form.Get("ImageId")))}}
	case "ec2:StopInstances", "ec2:StartInstances", "ec2:TerminateInstances":
		id := form.Get("InstanceId.1")
		return []ask{{name, instanceARN(id), g.prefixed("aws:ResourceTag/", g.tags(id))}}
	case "ec2:CreateTags", "ec2:DeleteTags":
		var list []ask
		for i := 1; form.Has(fmt.Sprintf("ResourceId.%d", i)); i++ {
			id := form.Get(fmt.Sprintf("ResourceId.%d", i))
			keys := g.prefixed("aws:ResourceTag/", g.tags(id))
			for k, v := range asked {
				keys[k] = v
			}
			on := snapshots + id
			switch {
			case strings.HasPrefix(id, "vol-"):
				on = diskARN(id)
			case strings.HasPrefix(id, "ami-"):
				on = imageARN(id)
			case strings.HasPrefix(id, "i-"):
				on = instanceARN(id)
			}
			list = append(list, ask{name, on, keys})
		}
		return list
	}
	return []ask{{name, "any", map[string]string{"aws:RequestedRegion": region}}}
}

func (guard) prefixed(prefix string, tags map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range tags {
		out[prefix+k] = v
	}
	return out
}

func imageARN(id string) string { return "arn:aws:ec2:" + region + "::image/" + id }

func diskARN(id string) string {
	return "arn:aws:ec2:" + region + ":" + number + ":volume/" + id
}

func instanceARN(id string) string {
	return "arn:aws:ec2:" + region + ":" + number + ":instance/" + id
}
