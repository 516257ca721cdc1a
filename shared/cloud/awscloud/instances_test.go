package awscloud

import (
	"reflect"
	"strings"
	"testing"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

const instances = `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet><item><reservationId>r-1</reservationId><instancesSet><item>
<instanceId>i-0a</instanceId><instanceState><code>16</code><name>running</name></instanceState><architecture>x86_64</architecture><rootDeviceName>/dev/xvda</rootDeviceName>
<blockDeviceMapping><item><deviceName>/dev/sdf</deviceName><ebs><volumeId>vol-0b</volumeId></ebs></item><item><deviceName>/dev/xvda</deviceName><ebs><volumeId>vol-0a</volumeId></ebs></item></blockDeviceMapping>
<tagSet><item><key>quiesce:opt-in</key><value>true</value></item></tagSet></item></instancesSet></item></reservationSet></DescribeInstancesResponse>`

const volumes = `<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet>
<item><volumeId>vol-0a</volumeId><size>8</size><volumeType>gp3</volumeType><attachmentSet><item><instanceId>i-0a</instanceId><device>/dev/xvda</device><status>attached</status></item></attachmentSet></item>
<item><volumeId>vol-0b</volumeId><size>500</size><volumeType>st1</volumeType><attachmentSet><item><instanceId>i-0a</instanceId><device>/dev/sdf</device><status>attached</status></item></attachmentSet><tagSet><item><key>role</key><value>logs</value></item></tagSet></item>
<item><volumeId>vol-0c</volumeId><size>10</size><volumeType>io2</volumeType><multiAttachEnabled>true</multiAttachEnabled><attachmentSet><item><instanceId>i-0z</instanceId><device>/dev/sdz</device><status>attached</status></item><item><instanceId>i-0a</instanceId><device>/dev/sdg</device><status>attached</status></item></attachmentSet></item>
<item><volumeId>vol-0d</volumeId><size>10</size><volumeType>gp3</volumeType><attachmentSet><item><instanceId>i-0a</instanceId><device>/dev/sdh</device><status>detached</status></item></attachmentSet></item>
</volumeSet></DescribeVolumesResponse>`

func TestInstance(t *testing.T) {
	p, w := against(func(r request) response {
		if r.action == "DescribeVolumes" {
			return response{body: volumes}
		}
		return response{body: instances}
	})
	got, err := p.Instance(t.Context(), "i-0a")
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Volumes) == 3 && got.Volumes[2].Unsupported == "" {
		t.Error("a volume of several instances is supported")
	}
	got.Volumes[2].Unsupported = ""
	none := map[string]string{}
	want := cloud.Instance{
		ID: "i-0a", Running: true, State: "running", Arch: "amd64", Tags: map[string]string{cloud.TagOptIn: "true"},
		Target: run.Target{Provider: "aws", Region: "eu-central-1", InstanceID: "i-0a"},
		Volumes: []cloud.Volume{
			{ID: "vol-0a", Device: "/dev/xvda", Serials: []string{"vol0a"}, Boot: true, SizeGiB: 8, Kind: "gp3", Tags: none, Concurrent: 5},
			{ID: "vol-0b", Device: "/dev/sdf", Serials: []string{"vol0b"}, SizeGiB: 500, Kind: "st1", Tags: map[string]string{"role": "logs"}, Concurrent: 1},
			{ID: "vol-0c", Device: "/dev/sdg", Serials: []string{"vol0c"}, SizeGiB: 10, Kind: "io2", Tags: none, Concurrent: 5},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
	form := w.seen[1].form
	if form.Get("Filter.1.Name") != "attachment.instance-id" || form.Get("Filter.1.Value.1") != "i-0a" {
		t.Errorf("asked %v", form)
	}
}

func TestInstanceState(t *testing.T) {
	p, _ := against(func(r request) response {
		if r.action == "DescribeVolumes" {
			return response{body: `<DescribeVolumesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><volumeSet/></DescribeVolumesResponse>`}
		}
		return response{body: strings.NewReplacer("running", "stopped", "x86_64", "arm64").Replace(instances)}
	})
	got, err := p.Instance(t.Context(), "i-0a")
	if err != nil || got.Running || got.State != "stopped" || got.Arch != "arm64" || len(got.Volumes) != 0 {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestInstanceFails(t *testing.T) {
	empty := response{body: `<DescribeInstancesResponse xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><reservationSet/></DescribeInstancesResponse>`}
	for name, c := range map[string]struct {
		answer response
		want   fault.Code
	}{
		"not found": {refusal(400, "InvalidInstanceID.NotFound"), fault.InstanceNotFound},
		"malformed": {refusal(400, "InvalidInstanceID.Malformed"), fault.InstanceNotFound},
		"empty":     {empty, fault.InstanceNotFound},
		"denied":    {refusal(403, "UnauthorizedOperation"), fault.AccessDenied},
	} {
		t.Run(name, func(t *testing.T) {
			p, _ := against(inTurn(c.answer))
			_, err := p.Instance(t.Context(), "i-0a")
			wantCode(t, err, c.want)
		})
	}
}
