package main

import (
	"context"
	"os"

	"github.com/quiesce/quiesce/local/ledger"
)

// ledgerCmd is the ledger writer's process and its scripts' client: a local
// run starts this program under this name.
type ledgerCmd struct {
	Args []string `arg:"" passthrough:""`
}

func (c *ledgerCmd) Run(ctx context.Context, s *streams) error {
	if len(c.Args) > 0 && c.Args[0] == "serve" {
		return ledger.Serve(ctx, c.Args[1:], os.Stdin, s.out)
	}
	return ledger.Client(ctx, c.Args, s.out)
}
