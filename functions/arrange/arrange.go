// Package arrange brings the members of a group together: before they are
// looked at, and again before the first is touched, when it shares out the one
// budget that all of them have.
package arrange

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/run"
)

// Input is the group's request, and the members once they have been looked at.
type Input struct {
	Run     run.Run           `json:"run"`
	Request run.GroupRequest  `json:"request"`
	Members []run.GroupMember `json:"members"`
}

const (
	delivery = 5 * time.Second // what the commands themselves may take until they run
	shortest = 5               // seconds, of a freeze's deadline
	maxPlans = 64 << 10        // of the execution's 256 KiB; evidence and failures come on top
)

// Do answers the members. Codes: InvalidInput.
func Do(now time.Time, in Input) (*run.Arrangement, error) {
	a := &run.Arrangement{Members: in.Members, OnFailure: string(in.Request.Policy.WithDefaults().OnFailure)}
	err := check(in.Request)
	if err == nil && in.Members == nil {
		a.Members, err = gather(now, in.Request)
	} else if err == nil {
		err = share(a, now, in.Request)
	}
	if err != nil {
		return nil, err
	}
	a.Record = run.Record{StartedAt: now, EndedAt: now}
	return a, nil
}

func check(r run.GroupRequest) error {
	switch n := len(r.Members); {
	case n == 0 || n > run.MaxMembers:
		return fault.Input("members", "wants 1-%d, got %d", run.MaxMembers, n)
	case r.BudgetSeconds < 5 || r.BudgetSeconds > 300:
		return fault.Input("budgetSeconds", "wants 5-300, got %d", r.BudgetSeconds)
	}
	p := r.Policy.WithDefaults()
	if err := p.Check(); err != nil {
		return err
	}
	if left := deadline(r); p.Freeze.Enabled && left < shortest {
		return fault.Input("budgetSeconds", "wants at least %d: the scripts may take %s and the commands %s, and a freeze %d s",
			r.BudgetSeconds+shortest-left, p.Application.Limit(), delivery, shortest)
	}
	return nil
}

// deadline is what the budget leaves for the freeze, in seconds.
func deadline(r run.GroupRequest) int {
	return r.BudgetSeconds - int((r.Policy.WithDefaults().Application.Limit() + delivery).Seconds())
}

// gather makes the members' documents, as the first state of a run does.
func gather(now time.Time, r run.GroupRequest) (list []run.GroupMember, err error) {
	for _, m := range r.Members {
		request, err := json.Marshal(run.Request{InstanceID: m.InstanceID, Policy: r.Policy})
		if err != nil {
			return nil, fault.Wrap(fault.Internal, err, "encode the request of %s", m.InstanceID)
		}
		list = append(list, run.GroupMember{
			State: run.State{Run: run.Run{ID: m.RunID, StartedAt: now}, Request: request}, Broken: run.Whole,
		})
	}
	return list, nil
}

// share gives every member what is left of the budget as its freeze's deadline
// and says until when a freeze may begin. A member without a plan keeps the
// group from beginning: it could never be consistent as a whole.
func share(a *run.Arrangement, now time.Time, r run.GroupRequest) error {
	a.Ready = true
	size := 0
	var missing []string
	for i := range a.Members {
		m := &a.Members[i]
		if m.Plan == nil {
			missing = append(missing, m.Run.ID)
			continue
		}
		plan := *m.Plan
		plan.Policy.Freeze.DeadlineSeconds = min(deadline(r), plan.Policy.Freeze.DeadlineSeconds)
		m.Plan = &plan
		text, err := json.Marshal(plan)
		if err != nil {
			return fault.Wrap(fault.Internal, err, "encode the plan of %s", m.Run.ID)
		}
		size += len(text)
	}
	if size > maxPlans {
		return fault.Input("members", "have plans of %d bytes in all, an execution has room for %d", size, maxPlans)
	}
	a.FreezeBy = now.Add(r.Policy.WithDefaults().Application.Limit() + delivery).UTC()
	if len(missing) > 0 {
		a.Ready = false
		stay(a.Members, strings.Join(missing, ", "))
	}
	return nil
}

// stay tells those that were ready why they were left alone.
func stay(members []run.GroupMember, missing string) {
	for i := range members {
		if m := &members[i]; m.Plan != nil && m.Failures.RunPrescript == nil {
			cause, _ := json.Marshal(map[string]string{ // of two strings: it cannot fail
				"errorMessage": fmt.Sprintf("the group did not begin, because these could not: %s", missing),
			})
			m.Failures.RunPrescript = &run.Failure{Error: string(fault.TooLate), Cause: string(cause)}
		}
	}
}
