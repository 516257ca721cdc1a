package aws

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/quiesce/quiesce/local/aws/wire"
)

// targets routes the awsJson services by the prefix of X-Amz-Target.
var targets = map[string]string{"AmazonSSM": "ssm", "AWSEvents": "events", "AWSStepFunctions": "states", "TrentService": "kms"}

// partial are the calls whose services make a wrong answer that can be read:
// lists that lack one, an output that breaks off. Every other answer breaks off
// as it is sent.
var partial = map[string]bool{"DescribeSnapshots": true, "GetCommandInvocation": true}

// unknown answers what no service answers to.
func unknown(call *wire.Call) wire.Reply {
	return wire.AWSJSON.Refuse(wire.Bad("UnknownOperationException", "no service here answers to %s", call.Action), call.ID)
}

// route finds the service and the action of a request as the endpoints do.
func (c *Cloud) route(call *wire.Call) {
	r := call.HTTP
	call.Region = c.reached(r)
	if target := r.Header.Get("X-Amz-Target"); target != "" {
		prefix, action, _ := strings.Cut(target, ".")
		call.Service, call.Action = targets[prefix], action
		if call.Service == "" {
			call.Action = target
		}
		return
	}
	if strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		call.Form, _ = url.ParseQuery(string(call.Body))
		if call.Form.Get("Action") != "" {
			call.Service, call.Action = "ec2", call.Form.Get("Action")
			return
		}
	}
	call.Service = "s3"
	call.Action = map[string]string{"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "DELETE": "DeleteObject"}[r.Method]
	if r.Method == http.MethodGet && r.URL.Query().Get("list-type") == "2" {
		call.Action = "ListObjectsV2"
	}
}
