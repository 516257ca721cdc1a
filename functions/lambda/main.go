// Command lambda is every AWS function of Quiesce in one binary, so that the
// steps of a deployment cannot be of different versions. The configured
// handler names the step.
//
//	_HANDLER                     precheck, run-prescript, freeze, snapshot, thaw, poll-status, await, tag, wake,
//	                             start-vss, watch-vss, make-shadows, drop-shadows,
//	                             resolve-targets, arrange, report, prune, curate, or restore- with plan, create, image,
//	                             move, power, settle or report, or verify- with choose, mark, recover, clean or report
//	QUIESCE_DOCUMENT             name or ARN of the command document
//	QUIESCE_DOCUMENT_HASH        its SHA-256 in hex; empty: its content is not pinned
//	QUIESCE_SHADOW_DOCUMENT      that of the document of shadow copies, and its hash
//	QUIESCE_SHADOW_DOCUMENT_HASH
//	QUIESCE_BUS                  name or ARN of the event bus; empty: the account's default bus
//	QUIESCE_ASSET_BUCKET         the bucket that holds the helper
//	QUIESCE_TOKEN_BUCKET         the bucket of those who wait for a set, and of fleets' lists; empty: the asset bucket
//	QUIESCE_MACHINES             ARNs of the state machines that hold instances, a comma between two; empty: none is known
//	QUIESCE_HELPER_KEY_AMD64     its key there, for each architecture
//	QUIESCE_HELPER_KEY_ARM64
//	QUIESCE_HELPER_SHA256_AMD64  and its SHA-256 in hex
//	QUIESCE_HELPER_SHA256_ARM64
//
// Region, credentials and endpoints are the SDK's own: AWS_REGION,
// AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_EC2 and so on.
package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	_ "time/tzdata" // a retention's days must not depend on what the runtime's image holds

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/config"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/functions/edge"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
)

func main() {
	ctx := context.Background()
	function, err := serve(ctx, os.Getenv, os.Stdout)
	if err != nil {
		refuse(ctx, os.Getenv("AWS_LAMBDA_RUNTIME_API"), err)
		fmt.Fprintln(os.Stderr, "quiesce:", err)
		os.Exit(1)
	}
	lambda.Start(function)
}

// serve makes the handler that the environment asks for; metrics go to the
// function's log.
func serve(ctx context.Context, getenv func(string) string, log io.Writer) (lambda.Handler, error) {
	cfg, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return nil, fmt.Errorf("read the SDK's configuration: %w", err)
	}
	provider := awscloud.New(cfg, options(getenv))
	steps := functions.Table(functions.Deps{
		Cloud: provider, Keeper: provider, Regions: func(name string) cloud.Region { return provider.In(name) }, Metrics: log,
	})
	name := getenv("_HANDLER")
	step, ok := steps[name]
	if !ok {
		return nil, fmt.Errorf("the handler %q is no step; it must be one of %s", name, strings.Join(functions.Names, ", "))
	}
	switch name {
	case "thaw":
		step = janitor(step)
	case "verify-clean":
		step = testJanitor(step)
	case "restore-report":
		step = unreported(step)
	}
	return handler{edge.Lambda(step)}, nil
}

func options(getenv func(string) string) awscloud.Options {
	return awscloud.Options{
		AssetBucket: getenv("QUIESCE_ASSET_BUCKET"),
		TokenBucket: getenv("QUIESCE_TOKEN_BUCKET"),
		Helpers: map[string]awscloud.Helper{
			"amd64": {Key: getenv("QUIESCE_HELPER_KEY_AMD64"), SHA256: getenv("QUIESCE_HELPER_SHA256_AMD64")},
			"arm64": {Key: getenv("QUIESCE_HELPER_KEY_ARM64"), SHA256: getenv("QUIESCE_HELPER_SHA256_ARM64")},
		},
		Bus:          getenv("QUIESCE_BUS"),
		Document:     getenv("QUIESCE_DOCUMENT"),
		DocumentHash: getenv("QUIESCE_DOCUMENT_HASH"),
		Machines:     strings.FieldsFunc(getenv("QUIESCE_MACHINES"), func(r rune) bool { return r == ',' }),
		Shadow:       getenv("QUIESCE_SHADOW_DOCUMENT"),
		ShadowHash:   getenv("QUIESCE_SHADOW_DOCUMENT_HASH"),
	}
}
