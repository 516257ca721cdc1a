package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslambda"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3assets"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/functions"
	"github.com/quiesce/quiesce/shared/policy"
)

// memory is each function's, in MiB. Lambda gives processor time in
// proportion, and inside the window a TLS handshake is most of the work.
var memory = map[string]float64{"freeze": 1024, "snapshot": 1024, "thaw": 1024}

const usualMemory = 256

// makeFunctions makes one function a step, all from the one binary: they
// differ in the handler's name, the role, the timeout and the memory.
func (d *deployment) makeFunctions() error {
	folder := filepath.Join(d.dist, "arm64")
	if _, err := os.Stat(filepath.Join(folder, "bootstrap")); err != nil {
		return fmt.Errorf("the functions are not built, `make package` does it: %w", err)
	}
	code := awslambda.AssetCode_FromAsset(jsii.String(folder), &awss3assets.AssetOptions{
		Exclude: list("*", "!bootstrap"), // the helper lies beside it
	})
	for _, step := range functions.Names {
		d.makeFunction(step, code)
	}
	return nil
}

func (d *deployment) makeFunction(step string, code awslambda.AssetCode) {
	id := camel(step)
	log := d.logGroup(step, "/aws/lambda/"+d.name+"-"+step)
	role := d.role(step)
	d.functions[step] = awslambda.NewFunction(d.stack, jsii.String(id), &awslambda.FunctionProps{
		FunctionName: d.named(step),
		Description:  jsii.String("Quiesce: " + purpose[step]),
		Code:         code,
		Handler:      jsii.String(step),
		Runtime:      awslambda.Runtime_PROVIDED_AL2023(),
		Architecture: awslambda.Architecture_ARM_64(),
		MemorySize:   jsii.Number(memoryOf(step)),
		Timeout:      seconds(functions.Timeouts[step]),
		LogGroup:     log,
		Tracing:      awslambda.Tracing_ACTIVE,
		Environment:  d.environment(),
		// What this role may do is written in the table of grants alone.
		Role: role.WithoutPolicyUpdates(nil),
	})
}

// purpose says in the console what each function is for.
var purpose = map[string]string{
	"precheck":        "refuses what cannot be carried out, before anything is touched",
	"run-prescript":   "opens the session on the instance and quiesces the application",
	"freeze":          "stops writes to the set's filesystems",
	"snapshot":        "takes the set by one call",
	"thaw":            "lets the instance go; the janitor too",
	"poll-status":     "asks once how far the set is",
	"tag":             "computes the verdict, labels the set, publishes the outcome",
	"start-vss":       "sends AWS's document that takes the set of a Windows instance",
	"watch-vss":       "looks once at that document's command, and at what it wrote on the set",
	"make-shadows":    "has Windows make shadow copies before the set is taken",
	"drop-shadows":    "has Windows delete them from the instance again",
	"await":           "notes who waits for a set to complete",
	"wake":            "ends that wait when the set has completed",
	"resolve-targets": "finds a policy's instances",
	"arrange":         "weighs how a group's phase went and says what comes next",
	"report":          "counts how a fleet's runs ended",
	"prune":           "deletes the sets that a policy's retention does not keep",
	"curate":          "locks, shares, copies and archives sets as their policies say",
	"restore-plan":    "says what a restore will do, and refuses what cannot be done",
	"restore-create":  "makes a set's disks beside everything that is there",
	"restore-image":   "registers the image of a set, and launches an instance of it",
	"restore-move":    "attaches disks, takes the old ones off and puts them back",
	"restore-recover": "has copies brought to life beside the original, and unmounted before they go",
	"restore-power":   "stops and starts the instance of a restore in place",
	"restore-settle":  "lets the old disks go, or deletes what a restore has made",
	"restore-report":  "says how a restore ended, by what is there",
	"verify-choose":   "picks the set of a restore test, and refuses what cannot be tested",
	"verify-mark":     "says on a set that it is under test",
	"verify-recover":  "has the copies of a set brought to life on the test instance",
	"verify-clean":    "takes away what a restore test has made; the janitor too",
	"verify-report":   "says how a restore test ended",
}

func memoryOf(step string) float64 {
	if m, ok := memory[step]; ok {
		return m
	}
	return usualMemory
}

// environment names what the deployment made; functions/lambda documents it.
func (d *deployment) environment() *map[string]*string {
	env := map[string]*string{
		"QUIESCE_DOCUMENT":        d.document.Ref(),
		"QUIESCE_SHADOW_DOCUMENT": d.shadow.Ref(),
		"QUIESCE_BUS":             d.bus.EventBusName(),
		"QUIESCE_TOKEN_BUCKET":    d.work.BucketName(),
		// Written out, because the machines are made after the functions.
		"QUIESCE_MACHINES": jsii.String(replacer(d.places(""), policy.OptIn{}).Replace(strings.Join(machinesOf("stateMachine", ""), ","))),
	}
	for key, hash := range map[string]string{"QUIESCE_DOCUMENT_HASH": d.documentHash, "QUIESCE_SHADOW_DOCUMENT_HASH": d.shadowHash} {
		if hash != "" {
			env[key] = jsii.String(hash)
		}
	}
	for arch, h := range d.helpers {
		arch = strings.ToUpper(arch)
		env["QUIESCE_ASSET_BUCKET"] = h.asset.S3BucketName() // one bucket holds every asset
		env["QUIESCE_HELPER_KEY_"+arch] = h.asset.S3ObjectKey()
		env["QUIESCE_HELPER_SHA256_"+arch] = jsii.String(h.sha256)
	}
	return &env
}

// logGroup is made before what writes to it, so that nobody makes it without
// an end to its logs.
func (d *deployment) logGroup(owner, name string) awslogs.LogGroup {
	group := awslogs.NewLogGroup(d.stack, jsii.String(camel(owner)+"Log"), &awslogs.LogGroupProps{
		LogGroupName:  jsii.String(name),
		RemovalPolicy: awscdk.RemovalPolicy_DESTROY, // what is proved of a set stands in its tags
	})
	group.Node().DefaultChild().(awslogs.CfnLogGroup).SetRetentionInDays(jsii.Number(d.logDays))
	d.logs[owner] = name
	return group
}

// role is a function's own, with what the table grants its step.
func (d *deployment) role(step string) awsiam.Role {
	role := awsiam.NewRole(d.stack, jsii.String(camel(step)+"Role"), &awsiam.RoleProps{
		AssumedBy:   awsiam.NewServicePrincipal(jsii.String("lambda.amazonaws.com"), nil),
		Description: jsii.String("The " + step + " step of " + d.name + ", nothing else."),
	})
	places := d.places(step)
	if step == "restore-image" && len(d.restoreRoles) > 0 {
		// An instance profile hands its role to EC2, hence is named by the owner
		// of the deployment, not by whoever asks for a restore.
		grant{
			sid: "HandOutRoles", actions: []string{"iam:PassRole"}, on: d.restoreRoles,
			when: conditions{"StringEquals": {"iam:PassedToService": "ec2.amazonaws.com"}},
		}.add(role, places, d.optIns())
	}
	for _, g := range slices.Concat(grants[step], everyFunction) {
		g.add(role, places, d.optIns())
		g.excuse(role, d, step)
	}
	return role
}

func seconds(t time.Duration) awscdk.Duration {
	return awscdk.Duration_Seconds(jsii.Number(t.Seconds()))
}
