package local

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/quiesce/quiesce/shared/restore"
	"github.com/quiesce/quiesce/workflow"
)

// deployRestore adds the restore's flow to the account.
func (a *alibaba) deployRestore() error {
	m, err := workflow.RestoreFlowMachine(a.cloud.FunctionARN)
	if err != nil {
		return fmt.Errorf("the definition of a restore: %w", err)
	}
	a.engine.Deploy(restorerName, []byte(workflow.RestoreFlow()), m, a.cloud.Tasks(a.invoker))
	return nil
}

// halt is the end of whatever runs on an instance that is stopped.
func (a *alibaba) halt(string) {
	if a.halted != nil {
		a.halted()
	}
}

// restoreBy lets the restore's own flow do what is asked for.
func (a *alibaba) restoreBy(ctx context.Context, name string, asked restore.Request) (*restoring, error) {
	r := &restoring{}
	var err error
	if r.Record, err = a.executes(ctx, restorerName, name, asked, nil); err != nil {
		return nil, err
	}
	var state restore.State
	if err := json.Unmarshal(r.Document, &state); err != nil {
		return nil, err
	}
	r.verdict, r.plan = state.Verdict, state.Plan
	return r, nil
}
