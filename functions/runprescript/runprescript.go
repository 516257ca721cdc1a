// Package runprescript opens the helper's session on the instance and brings
// the application to rest in it.
package runprescript

import (
	"context"
	"fmt"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/helper"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// Input is the plan.
type Input struct {
	Plan run.Plan `json:"plan"`
}

// Check refuses an input without a plan.
func (in Input) Check() error { return in.Plan.Check() }

// slack is what a session outlives its scripts and its window by: the calls
// between them, delivered as late as the provider allows.
const slack = 2 * time.Minute

// Do begins the session; with nothing to quiesce and nothing to freeze there
// is none. Codes: RunInProgress, Script*, Application*, AlreadyFrozen, TooLate,
// and a command's own.
func Do(ctx context.Context, agent cloud.Agent, metrics *telemetry.Metrics, in Input) (*run.Prescript, error) {
	started := time.Now()
	plan, p := in.Plan, in.Plan.Policy
	if p.Application.Kind == policy.None && !p.Freeze.Enabled {
		return &run.Prescript{Record: run.Record{StartedAt: started, EndedAt: time.Now()}}, nil
	}
	scripts := p.Application.Limit()
	deadline := time.Duration(p.Freeze.DeadlineSeconds) * time.Second
	count := func(name string) {
		if p.Application.Kind != policy.None {
			metrics.Emit(p.Name, "run-prescript", plan.RunID, telemetry.Count(name))
		}
	}
	count(telemetry.PreScriptStarted)
	reply, err := helper.Ask(ctx, agent, helper.Call{
		InstanceID: plan.Target.InstanceID,
		Asset:      cloud.Asset{SHA256: plan.Helper.SHA256},
		Execution:  execution(p.Application),
		Expires:    true,
		ClockSkew:  time.Duration(plan.ClockSkewMs) * time.Millisecond,
		Request: protocol.Request{Verb: protocol.Begin, RunID: plan.RunID, Begin: &protocol.BeginRequest{
			SessionSeconds: int((2*scripts + deadline + slack).Seconds()),
			FreezeSeconds:  p.Freeze.DeadlineSeconds,
			AllowRoot:      p.Freeze.Root == policy.Allow,
			Filesystems:    plan.Filesystems,
			Known:          plan.Known,
			Application:    application(plan),
		}},
	})
	var sent *run.Document
	switch {
	case err != nil:
	case p.Application.Kind == policy.ByDocument:
		sent, err = byDocument(ctx, agent, &plan)
	case p.Application.Kind == policy.Auto:
		err = fault.New(fault.ApplicationRefused, "the server that was found cannot be held%s", undecided(plan))
	}
	if err != nil {
		count(telemetry.PreScriptFailed)
		return nil, err
	}
	count(telemetry.PreScriptCompleted)
	quiesced := sent != nil || reply.Evidence != nil && reply.Evidence.Application != nil && !reply.Evidence.Application.QuiescedAt.IsZero()
	return &run.Prescript{
		Quiesced: quiesced,
		Document: sent,
		Record:   run.Record{StartedAt: started, EndedAt: time.Now()},
	}, nil
}

// application is what the session is opened for. A server that precheck found
// and could not choose is nobody's: the session is for the freeze alone.
func application(plan run.Plan) protocol.Application {
	if plan.Policy.Application.Kind == policy.Auto {
		return protocol.Application{Kind: policy.None}
	}
	return plan.Application()
}

// undecided says what precheck found in its way.
func undecided(plan run.Plan) (text string) {
	for _, s := range plan.Servers {
		if s.OnSet {
			text += fmt.Sprintf(": %s, process %d: %s", s.Program, s.PID, s.Why)
		}
	}
	return text
}

// execution is how long the helper may take: a failed pre-script is undone by
// its post-script. A document is not the helper's to run.
func execution(a policy.Application) time.Duration {
	if a.Kind == policy.ByDocument {
		return 30 * time.Second
	}
	return 2*a.Limit() + 30*time.Second
}
