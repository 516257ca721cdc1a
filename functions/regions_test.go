package functions_test

import (
	"testing"

	"github.com/quiesce/quiesce/shared/fault"
)

// A cloud on which nothing is copied says so, before anything is asked of it.
func TestWhereNothingIsCopied(t *testing.T) {
	c := newCloud()
	_, err := do[any](t, c, "prune", `{"run":{"id":"r"},"request":{"policy":{"name":"db","copies":[{"region":"eu-west-1","retention":{"last":1}}]},"copies":{"region":"eu-west-1","from":"eu-central-1"}}}`)
	refusedFor(t, err, fault.InvalidInput, "request.copies: is given, and nothing is copied")
	_, err = do[any](t, c, "curate", `{"run":{"id":"r"},"request":{"policy":{"name":"db","lock":{"mode":"governance","days":1}}}}`)
	refusedFor(t, err, fault.InvalidInput, "nothing is copied, shared or locked on this cloud")
}
