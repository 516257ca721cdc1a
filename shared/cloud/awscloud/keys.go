package awscloud

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/kms/types"

	"github.com/quiesce/quiesce/shared/fault"
)

// mayUse asks KMS about a key, because EC2 asks it only once it has answered.
// A dry run of a grant is no use: the policies that the console writes let only
// services make one, so that it is refused where EC2's own is not. The data key
// of the other dry run would come encrypted, and is not made.
func (p *Provider) mayUse(ctx context.Context, key string) error {
	if key == "" {
		return nil
	}
	out, err := p.keys.DescribeKey(ctx, &kms.DescribeKeyInput{KeyId: aws.String(key)})
	if err != nil {
		return aboutKey(err, key)
	}
	switch m := out.KeyMetadata; {
	case m == nil:
		return fault.New(fault.Unavailable, "look at the key %s: the answer says nothing of it", key)
	case m.KeyState != types.KeyStateEnabled:
		return fault.New(fault.SetNotRestorable, "the key %s is %s", key, m.KeyState)
	case m.KeyManager == types.KeyManagerTypeAws:
		return nil // everybody of the account may, through EC2 and in no other way
	}
	_, err = p.keys.GenerateDataKeyWithoutPlaintext(ctx, &kms.GenerateDataKeyWithoutPlaintextInput{
		KeyId: aws.String(key), KeySpec: types.DataKeySpecAes256, DryRun: aws.Bool(true),
	})
	if hasCode(err, "DryRunOperationException") {
		return nil
	}
	return aboutKey(err, key)
}

// aboutKey makes a fault of KMS's answer: what is not this role's to use is
// denied, what nobody can use makes the set unusable.
func aboutKey(err error, key string) error {
	code := codeOf(err)
	for _, unusable := range []string{"NotFoundException", "DisabledException", "KMSInvalidStateException", "InvalidArnException", "InvalidKeyUsageException"} {
		if hasCode(err, unusable) {
			code = fault.SetNotRestorable
		}
	}
	if hasCode(err, "KeyUnavailableException") || hasCode(err, "DependencyTimeoutException") || hasCode(err, "KMSInternalException") {
		code = fault.Unavailable
	}
	return fault.Wrap(code, err, "ask whether the key %s may be used", key)
}
