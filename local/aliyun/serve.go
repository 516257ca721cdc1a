package aliyun

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/quiesce/quiesce/local/aliyun/assistant"
	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// partial are the calls whose services make a wrong answer that can be read: a
// list that lacks some, an output that was cut. Any other wrong answer is one
// whose end is missing.
var partial = map[string]bool{"DescribeSnapshots": true, "DescribeSnapshotGroups": true, "DescribeInvocationResults": true}

// unknown answers what no service answers to.
func unknown(call *wire.Call) wire.Reply {
	return rpc.Protocol.Refuse(wire.Errorf(http.StatusNotFound, "InvalidVersion", "No service here answers to %s.", call.Action), call.ID)
}

func (c *Cloud) requestID() string {
	d := strings.ToUpper(c.digits(32))
	return strings.Join([]string{d[:8], d[8:12], d[12:16], d[16:20], d[20:]}, "-")
}

// versions are the services that speak RPC, by the version of their API.
var versions = map[string]string{"2014-05-26": "ecs", "2019-01-01": "cms", "2019-03-15": "fnf", "2020-01-10": "resourcesharing", "2016-04-28": "vpc"}

// route finds the service and the action of a request as the endpoints do.
// Parameters stand in the address, in a form, or in both.
func route(call *wire.Call) {
	r := call.HTTP
	call.Form = r.URL.Query()
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		form, _ := url.ParseQuery(string(call.Body))
		for name, values := range form {
			call.Form[name] = values
		}
	}
	if action := call.Form.Get("Action"); action != "" {
		call.Service, call.Action = versions[call.Form.Get("Version")], action
		if call.Service == "ecs" && assistant.Actions[action] {
			call.Service = "assistant"
		}
		return
	}
	if r.URL.Path == "/openapi/putEvents" && r.Method == http.MethodPost {
		call.Service, call.Action = "eventbridge", "PutEvents"
		return
	}
	call.Service = "oss"
	call.Action = map[string]string{"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[r.Method]
	if r.Method == http.MethodGet && call.Form.Get("list-type") == "2" {
		call.Action = "ListObjectsV2"
	}
}
