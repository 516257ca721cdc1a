package thaw

import (
	"time"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/protocol"
	"github.com/quiesce/quiesce/shared/run"
	"github.com/quiesce/quiesce/shared/telemetry"
)

// owed reports that the user's document may have been sent its pre-script, and
// so is to be sent its post-script, whatever the pre-script answered: one that
// found something frozen may have frozen the rest before. The instance knows of
// it when the execution does not; a run that another one kept out has no session
// there, and must not let go what that one holds.
func owed(in Input, e *protocol.Evidence) bool {
	if in.Plan.Policy.Application.Kind != policy.ByDocument {
		return false
	}
	if f := in.Failures.RunPrescript; f != nil {
		switch fault.Code(f.Error) {
		case fault.AccessDenied, fault.CommandFailed:
			return false // the document was refused before it was sent
		}
	}
	sent := in.Prescript != nil && in.Prescript.Document != nil
	return sent || e != nil && e.Application != nil && e.Application.Kind == policy.ByDocument
}

// held is why the document may hold the application still; nil if it does not.
func held(post *run.Document) error {
	if post.LetGo() {
		return nil
	}
	return post.Error.Err()
}

// documented are the metrics of the document's commands. The pause is that of
// the clocks of those who sent them, the way to the instance and back included.
func documented(pre *run.Prescript, post *run.Document) (list []telemetry.Metric) {
	if post == nil {
		return nil
	}
	list = append(list, telemetry.Count(telemetry.PostScriptStarted))
	if post.Error != nil {
		list = append(list, telemetry.Count(telemetry.PostScriptFailed))
	} else {
		list = append(list, telemetry.Count(telemetry.PostScriptDone))
	}
	if pre != nil && pre.Document != nil && post.LetGo() {
		list = append(list, telemetry.Millis(telemetry.ApplicationPause, float64(post.EndedAt.Sub(pre.Document.StartedAt))/float64(time.Millisecond)))
	}
	return list
}

// execution is how long the helper may take. A document is not its to run.
func execution(a policy.Application) time.Duration {
	if a.Kind == policy.ByDocument {
		return time.Minute
	}
	return a.Limit() + time.Minute
}
