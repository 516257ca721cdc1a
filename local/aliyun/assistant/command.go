package assistant

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/quiesce/quiesce/local/aliyun/rpc"
	"github.com/quiesce/quiesce/local/aws/wire"
)

// Statuses of an invocation on one instance.
const (
	pending   = "Pending"
	running   = "Running"
	success   = "Success"
	failed    = "Failed"
	errored   = "Error"
	timeout   = "Timeout"
	aborted   = "Aborted"
	cancelled = "Cancelled"
)

const windows = "windows"

// invocation is one command on one instance: several share an id.
type invocation struct {
	id, command, instance string
	kind, script          string
	parameters            map[string]string
	timeout               time.Duration
	expires               time.Time
	status                string
	outcome               outcome
	started, ended        time.Time
	siblings              []*invocation
	done                  chan struct{}
}

// outcome is how it ended; code is the service's word for why.
type outcome struct {
	status, code, output string
	exit                 int
}

func (i *invocation) final() bool { return i.status != pending && i.status != running }

// Limits of one command.
const (
	maxInstances = 100
	maxContent   = 24 << 10 // in base64
	maxOutput    = 24 << 10
	maxTimeout   = 86400
)

func (a *Assistant) runCommand(c *wire.Call, p rpc.Params) (map[string]any, error) {
	script, parameters, seconds, err := command(p)
	if err != nil {
		return nil, err
	}
	ids := p.List("InstanceId")
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, ok := a.tokens[p.Text("ClientToken")]; ok {
		return map[string]any{"InvokeId": id, "CommandId": a.invocations[id].command}, nil
	}
	if err := a.ready(p, ids); err != nil {
		return nil, err
	}
	if p.Text("RepeatMode") == "DryRun" {
		return a.preflight(ids)
	}
	now := time.Now()
	id, commandID := "t-"+a.cfg.NewID(16), "c-"+a.cfg.NewID(16)
	var all []*invocation
	for _, instance := range ids {
		inv := &invocation{
			id: id, command: commandID, instance: instance, kind: p.Text("Type"), script: script, parameters: parameters,
			timeout: time.Duration(seconds) * time.Second, expires: now.Add(a.cfg.Delivery), status: pending, done: make(chan struct{}),
		}
		all = append(all, inv)
	}
	all[0].siblings = all
	a.invocations[id] = all[0]
	if t := p.Text("ClientToken"); t != "" {
		a.tokens[t] = id
	}
	for _, inv := range all {
		g := a.agents[inv.instance]
		if g == nil {
			a.end(inv, outcome{status: aborted, code: "ClientNotRunning"})
			continue
		}
		if c.Planned.Offline {
			g.turn(false)
		}
		switch overtaken := g.overtaken; {
		case c.Planned.Reorder:
			if overtaken == nil {
				overtaken = make(chan struct{})
				g.overtaken = overtaken
			}
			a.wg.Go(func() { a.overtake(g, inv, overtaken) })
		case overtaken != nil:
			g.overtaken = nil
			a.wg.Go(func() {
				a.deliver(g, inv, a.cfg.Dispatch+c.Planned.Late, false)
				close(overtaken)
			})
		default:
			a.wg.Go(func() { a.deliver(g, inv, a.cfg.Dispatch+c.Planned.Late, false) })
		}
		if c.Planned.Duplicate {
			a.wg.Go(func() { a.deliver(g, inv, 2*a.cfg.Dispatch, true) })
		}
	}
	return map[string]any{"InvokeId": id, "CommandId": commandID}, nil
}

var parameterName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// command reads what is to be run, with the parameters put in.
func command(p rpc.Params) (script string, parameters map[string]string, seconds int, err error) {
	content := p.Text("CommandContent")
	switch {
	case p.Text("Type") == "" || content == "" || len(p.List("InstanceId")) == 0:
		return "", nil, 0, wire.Bad("MissingParameter", "Type, CommandContent and InstanceId are mandatory for processing this request.")
	case !slices.Contains([]string{"RunShellScript", "RunBatScript", "RunPowerShellScript"}, p.Text("Type")):
		return "", nil, 0, wire.Bad("CommandType.NotSupport", "The specified Type is not supported.")
	case !slices.Contains([]string{"", "Once", "DryRun"}, p.Text("RepeatMode")):
		return "", nil, 0, wire.Errorf(http.StatusNotImplemented, "UnsupportedOperation", "The RepeatMode %s is not emulated.", p.Text("RepeatMode"))
	}
	if p.Text("ContentEncoding") == "Base64" {
		raw, err := base64.StdEncoding.DecodeString(content)
		if err != nil {
			return "", nil, 0, wire.Errorf(http.StatusForbidden, "CmdContent.DecodeError", "The CommandContent can not be base64 decoded.")
		}
		script = string(raw)
	} else {
		script = content
	}
	if base64.StdEncoding.EncodedLen(len(script))+len(p.Text("Parameters")) > maxContent {
		return "", nil, 0, wire.Errorf(http.StatusForbidden, "CmdContent.ExceedLimit", "The length of the CommandContent exceeds the limit.")
	}
	if seconds, err = p.Number("Timeout", 60, 10, maxTimeout); err != nil {
		return "", nil, 0, err
	}
	if !p.Flag("EnableParameter") {
		return script, nil, seconds, nil
	}
	if text := p.Text("Parameters"); text != "" && json.Unmarshal([]byte(text), &parameters) != nil || len(parameters) > 20 {
		return "", nil, 0, wire.Bad("InvalidParameter.Parameters", "The specified Parameters is no JSON object of at most 20 strings.")
	}
	for name, value := range parameters {
		if !parameterName.MatchString(name) {
			return "", nil, 0, wire.Bad("CmdParamName.InvalidParamName", "The parameter name %q is not valid.", name)
		}
		script = strings.ReplaceAll(script, "{{"+name+"}}", value)
	}
	if at := left.FindString(script); at != "" {
		return "", nil, 0, wire.Bad("ParameterKey.NotFound", "The parameter %s has no value.", at)
	}
	return script, parameters, seconds, nil
}

// left is a parameter that was given no value.
var left = regexp.MustCompile(`\{\{[A-Za-z0-9_-]{1,64}\}\}`)

// ready refuses instances that no command can be sent to at all; that an agent
// is gone shows only when its command is not delivered.
func (a *Assistant) ready(p rpc.Params, ids []string) error {
	if len(ids) > maxInstances {
		return wire.Errorf(http.StatusForbidden, "InstanceIds.ExceedLimit", "The number of instance IDs exceeds the limit.")
	}
	for _, id := range ids {
		switch state := a.cfg.State(id); {
		case state == "":
			return wire.Errorf(http.StatusNotFound, "InvalidInstance.NotFound", "The specified instance %q does not exist.", id)
		case state != "Running":
			return wire.Errorf(http.StatusForbidden, "InvalidInstance.NotRunning", "The specified instance %q is not running.", id)
		case (p.Text("Type") == "RunShellScript") == (a.cfg.System(id) == windows):
			return wire.Errorf(http.StatusForbidden, "InvalidInstance.NotMatch", "The specified command type does not match the operating system of %q.", id)
		}
	}
	return nil
}

// preflight answers a dry run: the agents must be there, nothing is run.
func (a *Assistant) preflight(ids []string) (map[string]any, error) {
	for _, id := range ids {
		if g := a.agents[id]; g == nil || !a.online(g, time.Now()) {
			return nil, wire.Errorf(http.StatusForbidden, "InvalidInstance.ClientNotRunning", "The Cloud Assistant client of %q is not running.", id)
		}
	}
	return nil, nil
}

func (a *Assistant) finish(inv *invocation, o outcome) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.end(inv, o)
}

// end notes an outcome once and tells the bus; a second copy's comes too late.
func (a *Assistant) end(inv *invocation, o outcome) {
	if inv.final() {
		return
	}
	inv.status, inv.outcome, inv.ended = o.status, o, time.Now()
	close(inv.done)
	a.cfg.Publish("ecs:CloudAssistant:TaskCompleted", inv.instance, map[string]any{
		"commandId": inv.command, "invokeId": inv.id, "instanceId": inv.instance, "exitCode": strconv.Itoa(o.exit),
		"finishTime": rpc.Stamp(inv.ended), "invocationStatus": o.status,
	})
}

func (a *Assistant) describeResults(c *wire.Call, p rpc.Params) (map[string]any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	list := []any{}
	if first := a.invocations[p.Text("InvokeId")]; first != nil {
		for _, inv := range first.siblings {
			if want := p.Text("InstanceId"); want == "" || want == inv.instance {
				shown := *inv
				if c.Planned.Wrong {
					shown.outcome.output = shown.outcome.output[:len(shown.outcome.output)/2]
				}
				list = append(list, shown.render(p.Text("ContentEncoding") == "PlainText"))
			}
		}
	}
	return map[string]any{"Invocation": map[string]any{
		"InvocationResults": map[string]any{"InvocationResult": list}, "TotalCount": len(list), "PageNumber": 1, "PageSize": 10,
	}}, nil
}

func (i *invocation) render(plain bool) map[string]any {
	record := map[string]string{pending: "Pending", running: "Running"}[i.status]
	switch {
	case record != "":
	case i.status == success:
		record = "Finished"
	default:
		record = "Failed"
	}
	output, dropped := i.outcome.output, 0
	if len(output) > maxOutput {
		output, dropped = output[:maxOutput], len(output)-maxOutput
	}
	if !plain {
		output = base64.StdEncoding.EncodeToString([]byte(output))
	}
	return map[string]any{
		"InvokeId": i.id, "CommandId": i.command, "InstanceId": i.instance, "InvocationStatus": i.status, "InvokeRecordStatus": record,
		"ExitCode": i.outcome.exit, "ErrorCode": i.outcome.code, "ErrorInfo": explain[i.outcome.code], "Output": output, "Dropped": dropped,
		"Repeats": 1, "StartTime": rpc.Stamp(i.started), "FinishedTime": rpc.Stamp(i.ended), "StopTime": "", "Username": "root",
	}
}

var explain = map[string]string{
	"ExecutionTimeout":   "the command execution has been timeout",
	"ExecutionException": "the command could not be started",
	"ExitCodeNonzero":    "the exit code of the command is not zero",
	"DeliveryTimeout":    "the command delivery has been timeout",
	"ClientNotRunning":   "the client is not running on the instance",
	"ClientNotResponse":  "the client on the instance did not respond",
	"InstanceNotRunning": "the instance is not running",
}

// stopInvocation cancels what has not begun. A command that runs once goes on.
func (a *Assistant) stopInvocation(_ *wire.Call, p rpc.Params) (map[string]any, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	first := a.invocations[p.Text("InvokeId")]
	if first == nil {
		return nil, wire.Errorf(http.StatusNotFound, "InvalidInvokeId.NotFound", "The specified InvokeId does not exist.")
	}
	ids := p.List("InstanceId")
	for _, inv := range first.siblings {
		if inv.status == pending && (len(ids) == 0 || slices.Contains(ids, inv.instance)) {
			a.end(inv, outcome{status: cancelled})
		}
	}
	return nil, nil
}
