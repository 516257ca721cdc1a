package aliyun_test

import (
	"net/url"
	"testing"
	"time"

	"github.com/quiesce/quiesce/local/aliyun"
)

// Every call is checked as a whole: who signs it, what is signed, when, and that
// it was not made before.
func TestSignatures(t *testing.T) {
	stamp := func(d time.Duration) string { return time.Now().Add(d).UTC().Format("2006-01-02T15:04:05Z") }
	for _, c := range []struct {
		name   string
		change func(url.Values) // before it is signed
		after  func(url.Values)
		want   string
	}{
		{name: "as it should be"},
		{"an old key's secret", nil, func(p url.Values) { sign(p, "another secret") }, "SignatureDoesNotMatch"},
		{"a parameter changed on the way", nil, func(p url.Values) { p.Set("InstanceIds", `["i-other"]`) }, "SignatureDoesNotMatch"},
		{"a parameter added on the way", nil, func(p url.Values) { p.Set("DryRun", "true") }, "SignatureDoesNotMatch"},
		{"no signature", nil, func(p url.Values) { p.Del("Signature") }, "IncompleteSignature"},
		{"an unknown key", func(p url.Values) { p.Set("AccessKeyId", "STS.nobody") }, nil, "InvalidAccessKeyId.NotFound"},
		{"no key", func(p url.Values) { p.Del("AccessKeyId") }, nil, "MissingAccessKeyId"},
		{"no token of STS", func(p url.Values) { p.Del("SecurityToken") }, nil, "InvalidSecurityToken.MismatchWithAccessKey"},
		{"another's token", func(p url.Values) { p.Set("SecurityToken", "another") }, nil, "InvalidSecurityToken.MismatchWithAccessKey"},
		{"no nonce", func(p url.Values) { p.Del("SignatureNonce") }, nil, "IncompleteSignature"},
		{"another method", func(p url.Values) { p.Set("SignatureMethod", "HMAC-SHA256") }, nil, "IncompleteSignature"},
		{"another version", func(p url.Values) { p.Set("SignatureVersion", "2.0") }, nil, "IncompleteSignature"},
		{"no time", func(p url.Values) { p.Del("Timestamp") }, nil, "IncompleteSignature"},
		{"no time that can be read", func(p url.Values) { p.Set("Timestamp", "yesterday") }, nil, "IncompleteSignature"},
		{"fourteen minutes old", func(p url.Values) { p.Set("Timestamp", stamp(-14*time.Minute)) }, nil, ""},
		{"sixteen minutes old", func(p url.Values) { p.Set("Timestamp", stamp(-16*time.Minute)) }, nil, "InvalidTimeStamp.Expired"},
		{"of a clock that goes sixteen minutes early", func(p url.Values) { p.Set("Timestamp", stamp(16*time.Minute)) }, nil, "InvalidTimeStamp.Expired"},
		{"another Region", func(p url.Values) { p.Set("RegionId", "cn-shanghai") }, nil, "InvalidRegionId.NotFound"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in(t, aliyun.Config{}, func(w *world) {
				params := w.common("DescribeInstances")
				if c.change != nil {
					c.change(params)
				}
				sign(params, w.keys.Secret)
				if c.after != nil {
					c.after(params)
				}
				w.refuses(c.name, w.send(params), c.want)
			})
		})
	}
}

// A nonce is good for one call, whoever signed it and however it ended.
func TestANonceIsGoodOnce(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		for action, want := range map[string]string{"DescribeInstances": "", "NoSuchAction": "InvalidAction.NotFound"} {
			params := w.common(action)
			sign(params, w.keys.Secret)
			w.refuses(action, w.send(params), want)
			w.refuses(action+" again", w.send(params), "SignatureNonceUsed")
		}
		if n := w.Count("DescribeInstances"); n != 2 {
			t.Errorf("%d calls are on record, want the refused one too", n)
		}
	})
}

// What does not exist is told from what is missing.
func TestUnknownActionsAndMissingParameters(t *testing.T) {
	in(t, aliyun.Config{}, func(w *world) {
		for _, c := range []struct {
			action string
			with   []string
			want   string
		}{
			{"NoSuchAction", nil, "InvalidAction.NotFound"},
			{"DescribeInstances", []string{"Version", "2011-01-01"}, "InvalidVersion"},
			{"CreateSnapshotGroup", nil, "MissingParameter"},
			{"CreateSnapshot", nil, "MissingParameter"},
			{"RunCommand", []string{"Type", "RunShellScript", "CommandContent", "true"}, "MissingParameter"},
			{"RunCommand", []string{"Type", "RunShellScript", "InstanceId.1", target}, "MissingParameter"},
			{"StartExecution", nil, "InvalidVersion"}, // no engine here, hence no CloudFlow
			{"DescribeInstances", []string{"InstanceIds", `i-one`}, "InvalidParameter.InstanceIds"},
			{"DescribeInstances", []string{"MaxResults", "101"}, "InvalidParameter.MaxResults"},
			{"DescribeInstances", []string{"NextToken", "elsewhere"}, "InvalidParameter.NextToken"},
		} {
			w.refuses(c.action, w.call(c.action, c.with...), c.want)
		}
	})
}
