package main

// ofDefinition are bugs of the state machine.
var ofDefinition = []Mutant{
	{
		Name:   "catch-without-data-limit",
		File:   "workflow/snapshot.asl.json",
		Old:    "        { \"ErrorEquals\": [\"States.DataLimitExceeded\"], \"ResultPath\": \"$.failures.freeze\", \"Next\": \"GoOnUnfrozen\" },\n",
		New:    "",
		Danger: "an answer that is too large ends the run in its window, past every Catch",
		Near:   "freeze:oversize",
	},
	{
		Name:   "snapshot-failure-skips-the-thaw",
		File:   "workflow/snapshot.asl.json",
		Old:    "\"ResultPath\": \"$.failures.snapshot\", \"Next\": \"Thaw\" }\n",
		New:    "\"ResultPath\": \"$.failures.snapshot\", \"Next\": \"SetTaken\" }\n",
		Danger: "a refused snapshot leaves the machine to its deadlines",
		Near:   "snapshot",
	},
	{
		Name:   "policy-fail-ignored",
		File:   "workflow/snapshot.asl.json",
		Old:    "        { \"Variable\": \"$.plan.policy.onFailure\", \"StringEquals\": \"degrade\", \"Next\": \"Snapshot\" }\n      ],\n      \"Default\": \"Thaw\"\n",
		New:    "        { \"Variable\": \"$.plan.policy.onFailure\", \"StringEquals\": \"degrade\", \"Next\": \"Snapshot\" }\n      ],\n      \"Default\": \"Snapshot\"\n",
		Danger: "who wanted a consistent set or none gets a lesser one",
		Near:   "freeze",
	},
	{
		Name:   "attempts-not-counted",
		File:   "workflow/snapshot.asl.json",
		Old:    "\"freeze.$\": \"$.freeze\", \"attempt.$\": \"$$.State.RetryCount\" },\n",
		New:    "\"freeze.$\": \"$.freeze\", \"attempt\": 0 },\n",
		Danger: "every attempt takes itself for the first, and makes a set",
		Near:   "snapshot",
	},
	{
		Name:   "failed-tag-is-not-told",
		File:   "workflow/snapshot.asl.json",
		Old:    "        { \"ErrorEquals\": [\"States.ALL\"], \"ResultPath\": \"$.failures.tag\", \"Next\": \"Planned\" }\n",
		New:    "        { \"ErrorEquals\": [\"States.ALL\"], \"ResultPath\": \"$.failures.tag\", \"Next\": \"FailedUnlabelled\" }\n",
		Danger: "the run whose tag step does not work ends without a word",
		Near:   "tag",
	},
	{
		Name:   "thaw-tried-once",
		File:   "workflow/snapshot.asl.json",
		Old:    "          \"Comment\": \"Thaw is idempotent: whatever else went wrong, ask again.\",\n          \"ErrorEquals\": [\"States.ALL\"],\n",
		New:    "          \"Comment\": \"Thaw is idempotent: whatever else went wrong, ask again.\",\n          \"ErrorEquals\": [\"Never\"],\n",
		Danger: "one refused call leaves the machine to its deadlines, and a person to look",
		Near:   "thaw:,thaw/SendCommand,thaw/GetCommandInvocation",
	},
}
