package alicloud

import (
	"context"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// Document refuses: a command that is kept in Cloud Assistant declares neither
// which values its parameters take nor that it can be rehearsed, which is what a
// document is asked for.
func (p *Provider) Document(_ context.Context, name string) (cloud.Document, error) {
	return cloud.Document{}, noDocuments(name)
}

// SendDocument refuses as Document does; nothing runs.
func (p *Provider) SendDocument(_ context.Context, cmd cloud.DocumentCommand) (string, error) {
	return "", noDocuments(cmd.Document)
}

func noDocuments(name string) error {
	return fault.New(fault.CommandFailed, "the document %s: Alibaba Cloud has none, name scripts on the instance instead", name)
}
