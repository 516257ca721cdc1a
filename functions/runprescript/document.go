package runprescript

import (
	"context"
	"time"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/document"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/helper"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
)

// byDocument sends the document's pre-script, in a session that is open: it
// keeps other runs away, and its record tells whoever thaws that a post-script
// is owed. A janitor may have thawed while the pre-script was on its way, and
// nobody comes after a janitor: then its post-script is sent here.
func byDocument(ctx context.Context, agent cloud.Agent, plan *run.Plan) (*run.Document, error) {
	sent, err := document.Quiesce(ctx, agent, plan)
	if err != nil {
		return nil, err
	}
	reply, err := helper.Ask(ctx, agent, helper.Call{
		InstanceID: plan.Target.InstanceID,
		Asset:      cloud.Asset{SHA256: plan.Helper.SHA256},
		Execution:  30 * time.Second,
		Request:    protocol.Request{Verb: protocol.Status, RunID: plan.RunID},
	})
	if err == nil && reply.Evidence != nil && reply.Evidence.Phase == protocol.Quiesced {
		return sent, nil
	}
	document.Release(ctx, agent, plan)
	if err != nil { // by another code the thaw would take the document for unsent
		return nil, fault.Wrap(fault.NoSession, err, "nobody could tell whether the session outlived the document's pre-script")
	}
	return nil, fault.New(fault.NoSession, "the session was ended while the document's pre-script ran")
}
