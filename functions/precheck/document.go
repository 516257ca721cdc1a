package precheck

import (
	"context"
	"maps"
	"regexp"
	"slices"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/document"
	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/run"
)

const documentField = "policy.application.document"

// documented refuses a document that could not be sent as it will be, and asks
// for its dry run where it has one. What that finds wrong stops a run only if
// the policy wants no lesser set.
func documented(ctx context.Context, c Cloud, plan *run.Plan) error {
	app := plan.Policy.Application
	if app.Kind != policy.ByDocument {
		return nil
	}
	d, err := c.Document(ctx, app.Document)
	switch {
	case fault.CodeOf(err) == fault.CommandFailed:
		return fault.Input(documentField, "names %s, which cannot be had: %v", app.Document, err)
	case err != nil:
		return err
	case !d.Command:
		return fault.Input(documentField, "names %s, which is not of the type Command", app.Document)
	}
	if err := declares(app.Document, d, plan.RunID); err != nil {
		return err
	}
	command := d.Parameters[document.ParameterCommand]
	if !slices.Contains(command.Allowed, document.DryRun) {
		return nil // it has none, or does not say so
	}
	if err := document.Rehearse(ctx, c, plan); err != nil {
		if plan.Policy.OnFailure == policy.Fail || fault.CodeOf(err).Retryable() && fault.CodeOf(err) != fault.ApplicationNotReady {
			return err
		}
		plan.Warnings = append(plan.Warnings, "the application cannot be quiesced as things are: "+err.Error())
	}
	return nil
}

// declares wants a document with the two parameters, which take what a run
// gives them, and with none besides that nobody would give.
func declares(name string, d cloud.Document, runID string) error {
	for _, want := range []struct {
		parameter string
		values    []string
	}{
		{document.ParameterCommand, []string{document.Pre, document.Post}},
		{document.ParameterID, []string{document.ExecutionID(runID)}},
	} {
		p, ok := d.Parameters[want.parameter]
		if !ok {
			return fault.Input(documentField, "names %s, which has no parameter %s", name, want.parameter)
		}
		for _, v := range want.values {
			if !takes(p, v) {
				return fault.Input(documentField, "names %s, whose parameter %s does not allow %q", name, want.parameter, v)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(d.Parameters)) {
		if n != document.ParameterCommand && n != document.ParameterID && !d.Parameters[n].Optional {
			return fault.Input(documentField, "names %s, whose parameter %s has no default, and nobody gives it a value", name, n)
		}
	}
	return nil
}

// takes goes by a pattern only as far as it can be read here: the provider has
// its own dialect, and the last word.
func takes(p cloud.Parameter, value string) bool {
	if len(p.Allowed) > 0 && !slices.Contains(p.Allowed, value) {
		return false
	}
	pattern, err := regexp.Compile(p.Pattern)
	return err != nil || pattern.MatchString(value)
}
