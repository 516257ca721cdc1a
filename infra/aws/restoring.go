package main

import "github.com/quiesce/quiesce/shared/cloud"

// What a restore works on.
const (
	anyInstance = "arn:{partition}:ec2:{region}:{account}:instance/*"
	anyDisk     = "arn:{partition}:ec2:{region}:{account}:volume/*"
	anySnapshot = "arn:{partition}:ec2:{region}::snapshot/*"
	anyImage    = "arn:{partition}:ec2:{region}::image/*"
	ownImages   = "Images and instances have no name before they are made; the condition holds for those that a restore has made."
	anyNetwork  = "Into which network a person restores is known when it is asked for; the image and the instance are bound to the restore's own mark."
	ownDisks    = "Volumes have no name before they are made; the condition holds for those that a restore has made, or noted as replaced."
	runsSets    = "Snapshots are made by the thousand; the condition holds for those of runs."
	anyKey      = "arn:{partition}:kms:{region}:*:key/*"
	keysOwn     = "A key's own policy has the last word, and which keys a set is encrypted with is known when it is restored; they may be another account's."
	newDisk     = "A volume has no name before it is made; the condition demands that the request marks it as a restore's."
)

var (
	// ofRestore holds for a volume that a restore has made, replaced for one
	// whose place it takes.
	ofRestore = conditions{"Null": {"aws:ResourceTag/" + cloud.TagRestore: "false"}}
	replaced  = conditions{"Null": {"aws:ResourceTag/" + cloud.TagReplaced: "false"}}

	asRestore = conditions{"Null": {"aws:RequestTag/" + cloud.TagRestore: "false"}}
	ofARun    = conditions{"Null": {"aws:ResourceTag/" + cloud.TagRun: "false"}}

	lookAtImages = grant{
		sid: "LookAtImages", actions: []string{"ec2:DescribeImages"}, on: []string{"*"}, when: here,
		why: "EC2's Describe operations know no resources.",
	}
	lookWhereToLaunch = grant{
		sid: "LookWhereToLaunch", actions: []string{"ec2:DescribeInstanceTypes", "ec2:DescribeSubnets", "ec2:DescribeSecurityGroups"}, on: []string{"*"}, when: here,
		why: "EC2's Describe operations know no resources.",
	}
	registerImages = []grant{
		{sid: "RegisterAsARestore", actions: []string{"ec2:RegisterImage"}, on: []string{anyImage}, when: asRestore, why: ownImages},
		{sid: "RegisterARunsSnapshots", actions: []string{"ec2:RegisterImage"}, on: []string{anySnapshot}, when: ofARun, why: runsSets},
		{sid: "TagAtRegistration", actions: []string{"ec2:CreateTags"}, on: []string{anyImage}, when: conditions{"StringEquals": {"ec2:CreateAction": "RegisterImage"}}, why: ownImages},
	}

	lookAtDisks = grant{
		sid: "LookAtDisks", actions: []string{"ec2:DescribeVolumes"}, on: []string{"*"}, when: here,
		why: "EC2's Describe operations know no resources.",
	}
	markOld = grant{
		sid: "NoteWhatIsReplaced", actions: []string{"ec2:CreateTags"}, on: []string{anyDisk},
		when: conditions{"Null": {"aws:RequestTag/" + cloud.TagReplaced: "false"}},
		why:  "Which volumes are replaced is known when a restore begins; the condition demands that the request says so on them.",
	}
	// Which keys a set is encrypted with is known when it is restored, and they
	// may be another account's.
	askAboutKeys = grant{
		sid: "AskAboutKeys", actions: []string{"kms:DescribeKey", "kms:GenerateDataKeyWithoutPlaintext"}, on: []string{anyKey}, why: keysOwn,
	}
	useKeys = grant{
		sid: "UseKeysByEC2", actions: []string{"kms:Decrypt", "kms:ReEncryptFrom", "kms:ReEncryptTo"}, on: []string{anyKey}, why: keysOwn,
		when: conditions{"StringEquals": {"kms:ViaService": "ec2.{region}.amazonaws.com"}},
	}
	lendKeys = grant{
		sid: "LendKeysToDisks", actions: []string{"kms:CreateGrant"}, on: []string{anyKey}, why: keysOwn,
		when: conditions{"StringEquals": {"kms:ViaService": "ec2.{region}.amazonaws.com"}, "Bool": {"kms:GrantIsForAWSResource": "true"}},
	}
	// seeRuns tells whether an instance is being snapshotted.
	seeRuns = []grant{
		{sid: "SeeRuns", actions: []string{"states:ListExecutions"}, on: machinesOf("stateMachine", "")},
		{
			sid: "SeeWhatRunsAreOf", actions: []string{"states:DescribeExecution"}, on: machinesOf("execution", ":*"),
			why: "An execution's name is made when it is started; the machines are this deployment's own.",
		},
	}

	unmarkOld = grant{sid: "ForgetWhatWasReplaced", actions: []string{"ec2:DeleteTags"}, on: []string{anyDisk}, when: replaced, why: ownDisks}

	makeDisks = []grant{
		{sid: "OfARunsSnapshots", actions: []string{"ec2:CreateVolume"}, on: []string{anySnapshot},
			when: conditions{"Null": {"aws:ResourceTag/" + cloud.TagRun: "false"}}, why: runsSets},
		{sid: "AsARestore", actions: []string{"ec2:CreateVolume"}, on: []string{anyDisk},
			when: conditions{"Null": {"aws:RequestTag/" + cloud.TagRestore: "false"}}, why: newDisk},
		{sid: "TagAtCreation", actions: []string{"ec2:CreateTags"}, on: []string{anyDisk},
			when: conditions{"StringEquals": {"ec2:CreateAction": "CreateVolume"}}, why: newDisk},
	}
)

// holders are the machines whose executions hold instances.
var holders = []string{"snapshot", "group"}

func machinesOf(kind, end string) (arns []string) {
	for _, name := range holders {
		arns = append(arns, "arn:{partition}:states:{region}:{account}:"+kind+":{name}-"+name+end)
	}
	return arns
}
