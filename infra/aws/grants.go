package main

import (
	"slices"
	"strconv"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/jsii-runtime-go"

	"github.com/quiesce/quiesce/events"
	"github.com/quiesce/quiesce/shared/cloud"
	"github.com/quiesce/quiesce/shared/cloud/awscloud"
	"github.com/quiesce/quiesce/shared/policy"
	"github.com/quiesce/quiesce/shared/vss"
)

// grant lets a function call some operations on some resources. Resources are
// ARNs in which {names} stand for what the deployment made; one with a star
// says in why what keeps it from being narrower.
type grant struct {
	sid     string
	actions []string
	on      []string
	when    conditions
	why     string
}

// Where the work bucket keeps what fleets pass on.
const (
	fleetPrefix = "fleet/"
	fleets      = "{work}/" + fleetPrefix + "*"
	workObjects = "The lists and results of fleets are named by their executions; the prefix holds nothing else."
)

// Why a resource ends in a star though the API knows it.
const (
	byTag       = "Which instances opt in is known when a run begins, by a tag that the condition demands."
	newborn     = "A snapshot has no name before it is made; the condition demands that the request marks it as a run's."
	ownSets     = "Snapshots are made by the thousand; the condition holds for those of the very run that the request names."
	byScriptTag = "Which documents hold an application is known by a tag that the condition demands, as Data Lifecycle Manager does."
	anyVolume   = "EC2 asks for every volume of the instance, which is itself bound to the opt-in tag."
	tokens      = "A token is kept under the name of its set, which is not known before it is taken."
	logStreams  = "Lambda names the streams of a function's own log group."
	markedSets  = "Snapshots are made by the thousand; the condition holds for those of a run, and only once they are marked as being deleted."
)

// conditions are an IAM statement's: operator, key, value. One that names
// {opt-in-key} makes a statement for every opt-in tag of the deployment; a grant
// that names {copy-region} makes one for every Region that a policy copies to.
type conditions map[string]map[string]string

// Conditions that recur.
var (
	here = conditions{"StringEquals": {"aws:RequestedRegion": "{region}"}}
	// Both hold for an instance whose owner opted in; the services differ in
	// how they call its tag.
	optedIn        = conditions{"StringEquals": {"aws:ResourceTag/{opt-in-key}": "{opt-in-value}"}}
	optedInCommand = conditions{"StringEquals": {"ssm:resourceTag/{opt-in-key}": "{opt-in-value}"}}
	// asScript holds for a document whose owner lets backups send it.
	asScript = conditions{"StringEquals": {"aws:ResourceTag/" + awscloud.DocumentTag: "true"}}
	// asRun holds for a snapshot that the request itself marks as a run's.
	asRun = conditions{"Null": {"aws:RequestTag/" + cloud.TagRun: "false"}}
	// ofRun holds for a snapshot of the very run that the request names: its
	// mark was put on it when it was created, and cannot be changed by this.
	ofRun = conditions{"StringEquals": {"aws:ResourceTag/" + cloud.TagRun: "${aws:RequestTag/" + cloud.TagRun + "}"}}
)

// doomed holds for a snapshot of a run that was marked as being deleted: nothing
// else can be, whatever the code asks for.
var doomed = conditions{"Null": {"aws:ResourceTag/" + cloud.TagRun: "false", "aws:ResourceTag/" + cloud.TagDeleting: "false"}}

// Statements that several steps need.
var (
	describe = grant{
		sid: "Describe", actions: []string{"ec2:DescribeInstances", "ec2:DescribeVolumes"}, on: []string{"*"}, when: here,
		why: "EC2's Describe operations know no resources.",
	}
	lookAtSnapshots = grant{
		sid: "LookAtSnapshots", actions: []string{"ec2:DescribeSnapshots"}, on: []string{"*"}, when: here,
		why: "EC2's Describe operations know no resources.",
	}
	publish = grant{
		sid: "Publish", actions: []string{"events:PutEvents"}, on: []string{"{bus}"},
		when: conditions{"StringEquals": {"events:source": events.Source}},
	}
)

// command is what every step needs that asks the helper.
var command = []grant{
	{sid: "CommandOptedIn", actions: []string{"ssm:SendCommand"}, on: []string{"arn:{partition}:ec2:{region}:{account}:instance/*"}, when: optedInCommand, why: byTag},
	{sid: "ByThisDocument", actions: []string{"ssm:SendCommand"}, on: []string{"arn:{partition}:ssm:{region}:{account}:document/{document}"}},
	{
		sid: "FollowCommand", actions: []string{"ssm:GetCommandInvocation", "ssm:CancelCommand"}, on: []string{"*"}, when: here,
		why: "Systems Manager knows no resources for a command that was sent.",
	},
}

// byAWS is AWS's own document for Windows, which is under no account; bySelf the
// deployment's own of shadow copies.
var (
	byAWS  = grant{sid: "ByAWSDocument", actions: []string{"ssm:SendCommand"}, on: []string{"arn:{partition}:ssm:{region}::document/" + vss.Document}}
	bySelf = grant{sid: "ByShadowDocument", actions: []string{"ssm:SendCommand"}, on: []string{"arn:{partition}:ssm:{region}:{account}:document/{shadow}"}}
)

// documents are the user's own, which hold an application: those of the account
// that carry the tag by which Data Lifecycle Manager knows them, and only on
// instances that opted in. What AWS owns is under no account, hence not among
// them.
var documents = grant{
	sid: "ByTaggedDocuments", actions: []string{"ssm:SendCommand"}, on: []string{"arn:{partition}:ssm:{region}:{account}:document/*"}, when: asScript, why: byScriptTag,
}

// readDocuments is for who looks at their parameters.
var readDocuments = grant{
	sid: "ReadTaggedDocuments", actions: []string{"ssm:GetDocument"}, on: documents.on, when: asScript, why: byScriptTag,
}

// grants is what each step may do, and no more: TestGrantsAreWhatTheCodeCalls
// derives the operations from the code and compares.
var grants = map[string][]grant{
	"precheck":      slices.Concat(command, []grant{describe, lookAtSnapshots, publish, documents, readDocuments, askAfterAgent, handOutHelper}),
	"run-prescript": slices.Concat(command, []grant{documents}),
	"freeze":        command,
	"snapshot": {
		lookAtSnapshots,
		{sid: "SnapshotOptedIn", actions: []string{"ec2:CreateSnapshots"}, on: []string{"arn:{partition}:ec2:{region}:{account}:instance/*"}, when: optedIn, why: byTag},
		{sid: "OfItsVolumes", actions: []string{"ec2:CreateSnapshots"}, on: []string{"arn:{partition}:ec2:{region}:{account}:volume/*"}, why: anyVolume},
		{sid: "AsARun", actions: []string{"ec2:CreateSnapshots"}, on: []string{"arn:{partition}:ec2:{region}::snapshot/*"}, when: asRun, why: newborn},
		{
			sid: "TagAtCreation", actions: []string{"ec2:CreateTags"}, on: []string{"arn:{partition}:ec2:{region}::snapshot/*"},
			when: conditions{"StringEquals": {"ec2:CreateAction": "CreateSnapshots"}}, why: newborn,
		},
	},
	"thaw":        slices.Concat(command, []grant{bySelf, describe, lookAtSnapshots, label, publish, parkFailures, documents}),
	"poll-status": {lookAtSnapshots, publish},
	"await": {lookAtSnapshots, answer,
		{sid: "KeepToken", actions: []string{"s3:PutObject"}, on: []string{"{work}/" + awscloud.TokenPrefix + "*"}, why: tokens},
	},
	"tag": {lookAtSnapshots, label, publish},
	"start-vss": {command[0], byAWS, publish,
		{
			sid: "FindCommand", actions: []string{"ssm:ListCommands"}, on: []string{"*"}, when: here,
			why: "Systems Manager knows no resources for a command that was sent.",
		},
	},
	"watch-vss": {lookAtSnapshots, publish,
		{
			sid: "FollowSteps", actions: []string{"ssm:ListCommandInvocations"}, on: []string{"*"}, when: here,
			why: "Systems Manager knows no resources for a command that was sent.",
		},
	},
	"make-shadows": {command[0], bySelf, command[2], publish},
	"drop-shadows": {command[0], bySelf, command[2], publish},
	"resolve-targets": {
		{
			sid: "FindInstances", actions: []string{"ec2:DescribeInstances"}, on: []string{"*"}, when: here,
			why: "EC2's Describe operations know no resources.",
		},
		{sid: "WriteList", actions: []string{"s3:PutObject"}, on: []string{fleets}, why: workObjects},
	},
	"arrange": nil, // it thinks, and calls nobody
	"report": {publish,
		{sid: "ReadEnds", actions: []string{"s3:GetObject"}, on: []string{fleets}, why: workObjects},
		{
			sid: "FindEnds", actions: []string{"s3:ListBucket"}, on: []string{"{work}"},
			when: conditions{"StringLike": {"s3:prefix": fleetPrefix + "*"}},
		},
	},
	"prune":  slices.Concat([]grant{publish, parkFailures}, abroad(pruning)),
	"curate": slices.Concat([]grant{publish, parkFailures}, curating, abroad(copying)),
	// What it may make it only tries, as a dry run.
	"restore-plan": slices.Concat([]grant{describe, lookAtSnapshots, lookAtImages, lookWhereToLaunch, askAboutKeys, askAfterAgent, handOutHelper}, seeRuns, makeDisks, registerImages),
	"restore-image": slices.Concat([]grant{describe, lookAtSnapshots, lookAtImages, useKeys, lendKeys,
		{sid: "LaunchOfOwnImages", actions: []string{"ec2:RunInstances"}, on: []string{anyImage}, when: ofRestore, why: ownImages},
		{sid: "LaunchAsARestore", actions: []string{"ec2:RunInstances"}, on: []string{anyInstance, anyDisk}, when: asRestore, why: newDisk},
		{
			sid: "LaunchIntoNetworks", actions: []string{"ec2:RunInstances"}, why: anyNetwork,
			on: []string{"arn:{partition}:ec2:{region}:{account}:subnet/*", "arn:{partition}:ec2:{region}:{account}:network-interface/*",
				"arn:{partition}:ec2:{region}:{account}:security-group/*", "arn:{partition}:ec2:{region}:{account}:key-pair/*"},
		},
		{sid: "LaunchOfARunsSnapshots", actions: []string{"ec2:RunInstances"}, on: []string{anySnapshot}, when: ofARun, why: runsSets},
		{sid: "TagWhatIsLaunched", actions: []string{"ec2:CreateTags"}, on: []string{anyInstance, anyDisk}, when: conditions{"StringEquals": {"ec2:CreateAction": "RunInstances"}}, why: newDisk},
	}, registerImages),
	"restore-create": slices.Concat([]grant{lookAtDisks, markOld, askAboutKeys, useKeys, lendKeys}, seeRuns, makeDisks),
	"restore-move": {describe, lendKeys,
		{sid: "MoveOfOptedIn", actions: []string{"ec2:AttachVolume", "ec2:DetachVolume", "ec2:ModifyInstanceAttribute"}, on: []string{anyInstance}, when: optedIn, why: byTag},
		{sid: "MoveNew", actions: []string{"ec2:AttachVolume", "ec2:DetachVolume"}, on: []string{anyDisk}, when: ofRestore, why: ownDisks},
		{sid: "MoveOld", actions: []string{"ec2:AttachVolume", "ec2:DetachVolume"}, on: []string{anyDisk}, when: replaced, why: ownDisks},
	},
	"restore-recover": slices.Concat(command, []grant{describe, lookAtSnapshots, handOutHelper,
		{sid: "NoteTheCommand", actions: []string{"ec2:CreateTags"}, on: []string{anyDisk}, when: ofRestore, why: ownDisks},
	}),
	"restore-power": {describe, lendKeys,
		{sid: "TurnOptedIn", actions: []string{"ec2:StopInstances", "ec2:StartInstances"}, on: []string{anyInstance}, when: optedIn, why: byTag},
	},
	"restore-settle": {describe, lookAtImages, unmarkOld,
		{sid: "DetachFromOptedIn", actions: []string{"ec2:DetachVolume"}, on: []string{anyInstance}, when: optedIn, why: byTag},
		{sid: "EndOwnDisks", actions: []string{"ec2:DetachVolume", "ec2:DeleteVolume", "ec2:DeleteTags"}, on: []string{anyDisk}, when: ofRestore, why: ownDisks},
		{sid: "EndOwnImages", actions: []string{"ec2:DeregisterImage", "ec2:DeleteTags"}, on: []string{anyImage}, when: ofRestore, why: ownImages},
		{sid: "EndOwnInstances", actions: []string{"ec2:TerminateInstances", "ec2:DeleteTags"}, on: []string{anyInstance}, when: ofRestore, why: ownImages},
	},
	"verify-choose": {describe, lookAtSnapshots, askAfterAgent, handOutHelper},
	"verify-mark":   {lookAtSnapshots, label},
	"verify-recover": slices.Concat(command, []grant{describe, lookAtSnapshots, handOutHelper,
		{sid: "NoteTheCommand", actions: []string{"ec2:CreateTags"}, on: []string{anyDisk}, when: ofTest, why: scratch},
	}),
	"verify-clean": {lookAtDisks, lookAtSnapshots, label, publish, parkFailures, endCommand,
		{sid: "DetachFromOptedIn", actions: []string{"ec2:DetachVolume"}, on: []string{anyInstance}, when: optedIn, why: byTag},
		{sid: "EndTheTestsOwn", actions: []string{"ec2:DetachVolume", "ec2:DeleteVolume"}, on: []string{anyDisk}, when: ofTest, why: scratch},
	},
	"verify-report":  {lookAtDisks, lookAtSnapshots, label, publish},
	"restore-report": {describe, lookAtImages, publish, parkFailures},
	"wake": {answer, parkFailures,
		{sid: "FindToken", actions: []string{"s3:GetObject"}, on: []string{"{work}/" + awscloud.TokenPrefix + "*"}, why: tokens},
		// Without it S3 denies what is not there, and most sets are nobody's here.
		{sid: "SeeThatThereIsNone", actions: []string{"s3:ListBucket"}, on: []string{"{work}"}},
	},
}

// scratch is why a star stands for the copies of a restore test.
const scratch = "Volumes have no name before they are made; the condition holds for those that a restore test has made, and for no other restore's."

var (
	// ofTest holds for a volume that a restore test has made.
	ofTest = conditions{"Null": {"aws:ResourceTag/" + cloud.TagScratch: "false"}}

	askAfterAgent = grant{
		sid: "AskAfterAgent", actions: []string{"ssm:DescribeInstanceInformation"}, on: []string{"*"}, when: here,
		why: "Systems Manager lists agents of the whole account or not at all.",
	}
	handOutHelper = grant{sid: "HandOutHelper", actions: []string{"s3:GetObject"}, on: []string{"{helper-amd64}", "{helper-arm64}"}}
	endCommand    = grant{
		sid: "EndCommand", actions: []string{"ssm:CancelCommand"}, on: []string{"*"}, when: here,
		why: "Systems Manager knows no resources for a command that was sent.",
	}
)

// label tags the snapshots of the very run that the call names.
var label = grant{
	sid: "LabelTheRunsOwn", actions: []string{"ec2:CreateTags"}, on: []string{"arn:{partition}:ec2:{region}::snapshot/*"}, when: ofRun, why: ownSets,
}

// answer ends a wait of the snapshot machine.
var answer = grant{sid: "EndWait", actions: []string{"states:SendTaskSuccess"}, on: []string{"arn:{partition}:states:{region}:{account}:stateMachine:{name}-snapshot"}}

// parkedIn is the queue of each function that events start.
var parkedIn = map[string]string{"thaw": "janitor", "wake": "completions", "prune": "retention", "curate": "curation", "verify-clean": "tests", "restore-report": "restores"}

// parkFailures lets Lambda put an event that failed for good where a person
// finds it; Lambda does that under the function's role.
var parkFailures = grant{sid: "ParkFailures", actions: []string{"sqs:SendMessage"}, on: []string{"{failures}"}}

// everyFunction is what the runtime itself needs, whatever the step calls.
var everyFunction = []grant{
	{sid: "Log", actions: []string{"logs:CreateLogStream", "logs:PutLogEvents"}, on: []string{"arn:{partition}:logs:{region}:{account}:log-group:{log}:*"}, why: logStreams},
	{
		sid: "Trace", actions: []string{"xray:PutTraceSegments", "xray:PutTelemetryRecords"}, on: []string{"*"},
		why: "X-Ray knows no resources for traces.",
	},
}

// add writes the grant into a role.
func (g grant) add(role awsiam.Role, places map[string]string, optIns []policy.OptIn) {
	if regions, perRegion := g.perCopy(places); perRegion {
		for i, region := range regions {
			one := g
			one.sid += strconv.Itoa(i + 1)
			one.add(role, copyTo(places, region), optIns)
		}
		return
	}
	if !g.perOptIn() {
		optIns = []policy.OptIn{{}}
	}
	for i, tag := range optIns {
		sid := g.sid
		if i > 0 {
			sid += strconv.Itoa(i + 1)
		}
		fill := replacer(places, tag)
		var on []string
		for _, r := range g.on {
			on = append(on, fill.Replace(r))
		}
		props := &awsiam.PolicyStatementProps{Sid: jsii.String(sid), Actions: list(g.actions...), Resources: list(on...)}
		if len(g.when) > 0 {
			when := map[string]any{}
			for operator, keys := range g.when {
				filled := map[string]any{}
				for key, value := range keys {
					filled[fill.Replace(key)] = fill.Replace(value)
				}
				when[operator] = filled
			}
			props.Conditions = &when
		}
		role.AddToPolicy(awsiam.NewPolicyStatement(props))
	}
}

func (g grant) perOptIn() bool {
	for _, keys := range g.when {
		for key := range keys {
			if strings.Contains(key, "{opt-in-key}") {
				return true
			}
		}
	}
	return false
}

func replacer(places map[string]string, tag policy.OptIn) *strings.Replacer {
	pairs := []string{"{opt-in-key}", tag.Key, "{opt-in-value}", tag.Value}
	for name, value := range places {
		pairs = append(pairs, "{"+name+"}", value)
	}
	return strings.NewReplacer(pairs...)
}

// optIns are the tags that an instance may opt in by: the default, for runs
// that somebody starts by hand, and each policy's own.
func (c config) optIns() []policy.OptIn {
	all := []policy.OptIn{policy.Default().OptIn}
	for _, p := range c.policies {
		if !slices.Contains(all, p.OptIn) {
			all = append(all, p.OptIn)
		}
	}
	return all
}

// excuse writes each star and its reason down for cdk-nag, which calls what
// the stack makes by other names.
func (g grant) excuse(role awsiam.Role, d *deployment, step string) {
	fill := replacer(map[string]string{
		"partition": "<AWS::Partition>", "region": "<AWS::Region>", "account": "<AWS::AccountId>", "log": d.logs[step], "name": d.name,
		"work": "<" + *d.stack.GetLogicalId(d.work.Node().DefaultChild().(awss3.CfnBucket)) + ".Arn>",
	}, policy.OptIn{})
	for _, r := range g.on {
		if strings.HasSuffix(r, "*") && strings.Contains(r, "{copy-region}") {
			for _, region := range d.copyRegions() {
				accept(role, "AwsSolutions-IAM5", "Resource::"+fill.Replace(strings.ReplaceAll(r, "{copy-region}", region)), g.why)
			}
		} else if strings.HasSuffix(r, "*") {
			accept(role, "AwsSolutions-IAM5", "Resource::"+fill.Replace(r), g.why)
		}
	}
}

// places resolves the {names} of a function's grants.
func (d *deployment) places(step string) map[string]string {
	p := map[string]string{
		copyRegions: strings.Join(d.copyRegions(), " "),
		"partition": *d.stack.Partition(), "region": *d.stack.Region(), "account": *d.stack.Account(),
		"bus": *d.bus.EventBusArn(), "document": *d.document.Ref(), "shadow": *d.shadow.Ref(), "log": d.logs[step],
		"work": *d.work.BucketArn(), "name": d.name,
	}
	if queue, ok := parkedIn[step]; ok {
		p["failures"] = *d.queue(queue).QueueArn()
	}
	for arch, h := range d.helpers {
		p["helper-"+arch] = *h.asset.Bucket().ArnForObjects(h.asset.S3ObjectKey())
	}
	return p
}
