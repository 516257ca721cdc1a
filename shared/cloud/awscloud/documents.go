package awscloud

import (
	"context"
	"encoding/json"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	"github.com/aws/aws-sdk-go-v2/service/ssm/types"

	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/fault"
)

// DocumentTag is the tag, with the value true, of a user's document that may be
// sent: the one by which Data Lifecycle Manager knows its scripts.
const DocumentTag = "DLMScriptsAccess"

// Document reads a user's document. The service gives JSON of any document,
// also of one that was written in YAML; what allows a value stands only there.
func (p *Provider) Document(ctx context.Context, name string) (cloud.Document, error) {
	out, err := p.ssm.GetDocument(ctx, &ssm.GetDocumentInput{Name: aws.String(name), DocumentFormat: types.DocumentFormatJson})
	if err != nil {
		return cloud.Document{}, translate(err, "read the document %s, which must carry the tag %s=true", name, DocumentTag)
	}
	var content struct {
		Parameters map[string]struct {
			Default        json.RawMessage `json:"default"`
			AllowedValues  []string        `json:"allowedValues"`
			AllowedPattern string          `json:"allowedPattern"`
		} `json:"parameters"`
	}
	if err := json.Unmarshal([]byte(aws.ToString(out.Content)), &content); err != nil {
		return cloud.Document{}, fault.Wrap(fault.CommandFailed, err, "read the parameters of the document %s", name)
	}
	d := cloud.Document{Command: out.DocumentType == types.DocumentTypeCommand, Parameters: map[string]cloud.Parameter{}}
	for n, p := range content.Parameters {
		d.Parameters[n] = cloud.Parameter{Allowed: p.AllowedValues, Pattern: p.AllowedPattern, Optional: p.Default != nil}
	}
	return d, nil
}

// SendDocument sends a user's document in its default version. Its own steps
// say how long they may run.
func (p *Provider) SendDocument(ctx context.Context, cmd cloud.DocumentCommand) (string, error) {
	out, err := p.ssm.SendCommand(ctx, documentInput(cmd))
	if err != nil {
		return "", translate(err, "send the document %s to %s", cmd.Document, cmd.InstanceID)
	}
	return aws.ToString(out.Command.CommandId), nil
}

func documentInput(cmd cloud.DocumentCommand) *ssm.SendCommandInput {
	parameters := map[string][]string{}
	for name, value := range cmd.Parameters {
		parameters[name] = []string{value}
	}
	return &ssm.SendCommandInput{
		DocumentName:   aws.String(cmd.Document),
		InstanceIds:    []string{cmd.InstanceID},
		Parameters:     parameters,
		TimeoutSeconds: aws.Int32(int32(max(cmd.DeliverySecs, minDelivery))),
		Comment:        aws.String(clip(cmd.Comment, maxComment)),
	}
}
