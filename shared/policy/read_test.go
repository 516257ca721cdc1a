package policy_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/quiesce/quiesce/shared/fault"
	"github.com/quiesce/quiesce/shared/policy"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// Whether a JSON Schema can see a problem as well.
const (
	sees  = true
	blind = false
)

const fleet = "name: db\ntargets: {tags: {backup: db}}\n"

// refusals is what is refused, and the message with its line and column.
var refusals = []struct {
	name, text string
	schema     bool
	want       string // behind the file's name; more of them, a line each
	syntax     bool   // no document comes of it
}{
	{name: "an empty file", text: "", want: "1:1: is empty: wants a policy, at the least its name", syntax: true},
	{name: "a comment alone", text: "# name: x\n", want: "1:1: is empty: wants a policy, at the least its name", syntax: true},
	{name: "no mapping", text: "- name: x\n", schema: sees, want: "1:1: wants a mapping of keys to values, got a list"},
	{name: "no YAML", text: "name: [\n", want: "1:7: is not YAML: sequence end token ']' not found", syntax: true},
	{name: "two documents", text: "name: x\n---\nname: y\n", want: "3:5: has a second document: wants one policy a file", syntax: true},
	{name: "a key twice", text: "name: x\nonFailure: fail\nname: y\n", want: "3:1: name: is given a second time", syntax: true},
	{name: "an anchor", text: "name: &n x\n", want: "1:7: name: wants the value itself: anchors, aliases and tags of YAML are not read", syntax: true},
	{name: "a merge key", text: "name: x\nfreeze:\n  <<: {root: allow}\n", want: "3:3: freeze: wants the keys themselves: the merge key << of YAML is not read", syntax: true},
	{name: "a tag of YAML", text: "name: !!str x\n", want: "1:7: name: wants the value itself: anchors, aliases and tags of YAML are not read", syntax: true},

	{name: "an unknown field", text: "name: x\nfreez:\n  root: allow\n", schema: sees, want: "2:1: freez: is unknown: perhaps freeze"},
	{name: "an unknown field inside", text: "name: x\nfreeze:\n  timeoutSeconds: 9\n", schema: sees, want: "3:3: freeze.timeoutSeconds: is unknown: wants one of enabled, mounts, deadlineSeconds, root"},
	{name: "another case", text: "onfailure: fail\n", schema: sees, want: "1:1: onfailure: is unknown: perhaps onFailure"},
	{name: "a field that is nothing's", text: "frequency: 3\n", schema: sees, want: "1:1: frequency: is unknown: wants one of $schema, name, mode, ramRole, optIn, application, vss, freeze, volumes, onFailure, completion, tags, targets, schedules, maxConcurrency, maxErrors, startLateMinutes, group, groupBudgetSeconds, notification, retention, restoreTest, copies, share, archive, fastRestore, lock, skipDegraded"},

	{name: "text for a number", text: "application:\n  timeoutSeconds: ten\n", schema: sees, want: `2:19: application.timeoutSeconds: wants a whole number, got "ten"`},
	{name: "a fraction", text: "application:\n  retries: 1.5\n", schema: sees, want: "2:12: application.retries: wants a whole number, got 1.5"},
	{name: "an octal", text: "application:\n  timeoutSeconds: 012\n", want: "2:19: application.timeoutSeconds: wants a whole number, got 012"},
	{name: "text for a bool", text: "group: yes\n", schema: sees, want: `1:8: group: wants true or false, got "yes"`},
	{name: "a number for text", text: "name: 5\n", schema: sees, want: "1:7: name: wants text, got 5: put it in quotes"},
	{name: "a bool for a tag", text: "tags:\n  a: true\n", schema: sees, want: "2:6: tags.a: wants text, got true: put it in quotes"},
	{name: "a scalar for a block", text: "freeze: true\n", schema: sees, want: "1:9: freeze: wants a mapping of keys to values, got true"},
	{name: "a mapping for a list", text: "schedules:\n  expression: rate(1 day)\n", schema: sees, want: "1:1: schedules: wants a list, got a mapping"},
	{name: "nothing", text: "name: x\nfreeze:\n", schema: sees, want: "2:1: freeze: wants a mapping of keys to values, got nothing"},

	{name: "a name with a quote", text: "name: \"a'b\"\n", schema: sees, want: `1:7: name: wants 1-64 letters, digits, dots, dashes or underscores, got "a'b"`},
	{name: "a name with a newline", text: "name: |\n  a\n", schema: sees, want: `1:7: name: wants 1-64 letters, digits, dots, dashes or underscores, got "a\n"`},
	{name: "a name with a substitution", text: "name: $(id)\n", schema: sees, want: `1:7: name: wants 1-64 letters, digits, dots, dashes or underscores, got "$(id)"`},
	{name: "an opt-in of nothing", text: "optIn: {value: \"\"}\n", schema: sees, want: `1:16: optIn.value: wants a tag value of 1-256 letters, digits, spaces or _.:/=+-@, got ""`},
	{name: "a timeout of 9", text: "name: x\n# why\napplication:\n  kind: none\n\n  timeoutSeconds: 9\n", schema: sees, want: "6:19: application.timeoutSeconds: wants 10-120, got 9"},
	{name: "a timeout of 121", text: "application: {timeoutSeconds: 121}\n", schema: sees, want: "1:31: application.timeoutSeconds: wants 10-120, got 121"},
	{name: "4 retries", text: "application: {retries: 4}\n", schema: sees, want: "1:24: application.retries: wants 0-3, got 4"},
	{name: "an unknown kind", text: "application: {kind: oracle}\n", schema: sees, want: `1:21: application.kind: wants none, script, document, auto, vss, mariadb, mongodb, mysql, postgresql, redis, got "oracle"`},
	{name: "no post-script", text: "application:\n  kind: script\n  preScript: /a\n", schema: sees, want: "1:1: application.postScript: is missing: without it nothing releases the application"},
	{name: "scripts with vss", text: "mode: vss\napplication:\n  kind: vss\n  preScript: /a\n", schema: sees, want: "4:14: application.preScript: is given, but kind is vss"},
	{name: "no document", text: "application: {kind: document}\n", schema: sees, want: "1:14: application.document: is missing: kind document needs its name or ARN"},
	{name: "a document that is no name", text: "application: {kind: document, document: a b}\n", schema: sees, want: `1:41: application.document: wants a document's name or ARN: 3-200 letters, digits or _-.:/, got "a b"`},
	{name: "a document for scripts", text: "application: {kind: none, document: abc}\n", schema: sees, want: "1:37: application.document: is given, but kind is none"},
	{name: "a mode for what is found", text: "application: {kind: auto, mode: ftwrl}\n", schema: sees, want: "1:33: application.mode: is given, but kind is auto"},
	{name: "a socket without a server", text: "application:\n  kind: none\n  socket: /s\n", schema: sees, want: "3:11: application.socket: is given, but kind is none"},
	{name: "a relative option file", text: "application: {kind: mariadb, optionFile: my.cnf}\n", schema: sees, want: `1:42: application.optionFile: wants an absolute path, got "my.cnf"`},
	{name: "another server's mode", text: "application: {kind: mariadb, mode: backup}\n", schema: sees, want: `1:36: application.mode: wants backup-stage or ftwrl, got "backup"`},
	{name: "a mode where there is none", text: "application: {kind: redis, mode: backup}\n", schema: sees, want: "1:34: application.mode: is given, but kind is redis"},
	{name: "a lock's limit where there is none", text: "application: {kind: postgresql, ftwrlWaitTimeout: 5}\n", schema: sees, want: "1:51: application.ftwrlWaitTimeout: is given, but kind is postgresql"},
	{name: "too long a wait", text: "application: {kind: mariadb, ftwrlWaitTimeout: 181}\n", schema: sees, want: "1:48: application.ftwrlWaitTimeout: wants 0-180, got 181"},
	{name: "an unknown sort of query", text: "application: {kind: mariadb, killLongQueryType: update}\n", schema: sees, want: `1:49: application.killLongQueryType: wants select or all, got "update"`},
	{name: "a server without a freeze", text: "application: {kind: mariadb}\nfreeze: {enabled: false}\n", schema: sees, want: "2:19: freeze.enabled: is false, but what mariadb wrote is sure to be on its volumes only by a freeze"},
	{name: "retries of a server", text: "application: {kind: mariadb, retries: 1}\n", schema: sees, want: "1:39: application.retries: is given, but kind is mariadb, which tries until timeoutSeconds"},
	{name: "mounts with vss", text: "mode: vss\napplication: {kind: vss}\nfreeze: {mounts: [/a]}\n", schema: sees, want: "3:18: freeze.mounts: is given, but on Windows it is Windows that holds the filesystems"},
	{name: "Windows without a mode of its own", text: "application: {kind: vss}\n", schema: sees, want: "1:21: application.kind: is vss, but in mode orchestrated the helper holds an application, and it is for Linux: wants mode vss or diskshadow on AWS, or plugin on Alibaba Cloud"},
	{name: "scripts on Windows", text: "mode: vss\napplication: {kind: script, preScript: /a, postScript: /b}\n", schema: sees, want: "2:21: application.kind: is script, but in mode vss wants vss, or none to leave the applications' writers out"},
	{name: "diskshadow without writers", text: "mode: diskshadow\napplication: {kind: none}\n", schema: sees, want: "2:21: application.kind: is none, but in mode diskshadow wants vss"},
	{name: "diskshadow of the system volume", text: "mode: diskshadow\napplication: {kind: vss}\nvolumes: {excludeBoot: false}\n", schema: sees, want: "3:24: volumes.excludeBoot: is false, but Windows goes back to no shadow copy of its own system volume: wants true, or mode vss"},
	{name: "no freeze on Windows", text: "mode: vss\nfreeze: {enabled: false}\n", schema: sees, want: "2:19: freeze.enabled: is false, but in mode vss Windows holds the filesystems, whatever is asked"},
	{name: "data volumes left out by AWS's document", text: "mode: vss\nvolumes:\n  excludeTags: {scratch: \"\"}\n", schema: sees, want: "3:16: volumes.excludeTags: is given, but AWS's document snapshots every data volume: leave it out, or take mode diskshadow"},
	{name: "a tag that AWS writes", text: "mode: vss\ntags: {AppConsistent: yes it is}\n", want: "2:23: tags.AppConsistent: is what AWS's document writes by itself: wants another key"},
	{name: "a tag that AWS's document does not take", text: "mode: vss\ntags: {owner: Jürgen}\n", want: `2:15: tags.owner: wants letters of English, digits, spaces or _.:/=+-@, which is all that AWS's document takes, got "Jürgen"`},
	{name: "components of no version", text: "mode: vss\nvss: {version: latest}\n", schema: sees, want: `2:16: vss.version: wants a version of AwsVssComponents such as 2.5.1, got "latest"`},
	{name: "components that save no metadata", text: "mode: vss\napplication: {kind: vss}\nvss: {version: 2.3.3, saveMetadata: true}\n", want: "3:16: vss.version: is 2.3.3, but vss.saveMetadata needs 2.4.0 or later"},
	{name: "metadata of writers that are left out", text: "mode: vss\nvss: {saveMetadata: true}\n", want: "2:21: vss.saveMetadata: is true, but application.kind is none, which leaves the writers out: the document refuses both at once"},
	{name: "a description for a shell", text: "mode: vss\nvss: {description: \"a; reboot\"}\n", schema: sees, want: `2:20: vss.description: wants at most 255 letters of English, digits, spaces or _.:/=+-@, got "a; reboot"`},
	{name: "a document in no time", text: "mode: vss\nvss: {timeoutSeconds: 5}\n", schema: sees, want: "2:23: vss.timeoutSeconds: wants 60-3600, got 5"},
	{name: "an image in place of a set", text: "mode: vss\nvss: {createAmi: true}\n", schema: sees, want: "2:7: vss.createAmi: is unknown: wants one of copyOnly, saveMetadata, collectLogs, version, description, timeoutSeconds"},
	{name: "vss's own with another mode", text: "vss: {copyOnly: true}\n", schema: sees, want: "1:6: vss: is given, but mode is orchestrated"},
	{name: "a group of Windows", text: "name: a\nmode: vss\ngroup: true\ntargets: {tags: {a: b}}\n", schema: sees, want: "2:7: mode: is vss, but a group is held by the workflow"},
	{name: "a path with a quote", text: "application:\n  kind: script\n  preScript: /opt/a'b\n  postScript: /b\n", want: `3:14: application.preScript: has the character '\'', which is not allowed in a path`},
	{name: "a path with a substitution", text: "freeze:\n  mounts:\n    - /data\n    - /$(reboot)\n", want: `4:7: freeze.mounts[1]: has the character '$', which is not allowed in a path`},
	{name: "a path with a newline", text: "freeze:\n  mounts: [\"/a\\nb\"]\n", want: `2:12: freeze.mounts[0]: has the character '\n', which is not allowed in a path`},
	{name: "a relative path", text: "freeze: {mounts: [data]}\n", schema: sees, want: `1:19: freeze.mounts[0]: wants an absolute path, got "data"`},
	{name: "a deadline of 301", text: "freeze: {deadlineSeconds: 301}\n", schema: sees, want: "1:27: freeze.deadlineSeconds: wants 5-300, got 301"},
	{name: "a completion of 0", text: "completion: {timeoutMinutes: 0}\n", schema: sees, want: "1:30: completion.timeoutMinutes: wants 1-1440, got 0"},
	{name: "a malformed volume", text: "volumes: {excludeIds: [vol-1]}\n", schema: sees, want: `1:24: volumes.excludeIds[0]: wants a volume id, got "vol-1"`},
	{name: "an unknown variable", text: "tags:\n  a: x $(volume-id)\n", want: "2:6: tags.a: has the variable $(volume-id): wants $(instance-id), $(policy), $(run-id), $(timestamp)"},
	{name: "a variable where tags are sought", text: "targets: {tags: {a: $(policy)}}\n", schema: sees, want: `1:21: targets.tags.a: wants a value of letters, digits, spaces or _.:/=+-@, got "$(policy)"`},
	{name: "a reserved tag", text: "tags:\n  aws:x: y\n", schema: sees, want: "2:10: tags.aws:x: is reserved: wants a key that does not begin with quiesce:, aws: or acs:"},
	{name: "a tag that grows too long", text: "tags: {a: $(run-id)$(run-id)$(run-id)$(timestamp)}\n", want: "1:11: tags.a: wants a value of at most 256 bytes, its variables written out, got up to 260"},

	{name: "a malformed instance", text: "targets:\n  instanceIds: [i-0abc12345678def90, 0abc]\n", schema: sees, want: `2:38: targets.instanceIds[1]: wants an instance id such as i-0abc12345678def90, got "0abc"`},
	{name: "an instance twice", text: "targets: {instanceIds: [i-0abc12345678def90, i-0abc12345678def90]}\n", schema: sees, want: "1:46: targets.instanceIds[1]: names i-0abc12345678def90 a second time"},
	{name: "schedules of nobody", text: "schedules:\n  - expression: rate(1 day)\n", want: "1:1: targets: is missing: schedules and a group need instanceIds or tags"},
	{name: "a concurrency of 10001", text: "maxConcurrency: 10001\n", schema: sees, want: "1:17: maxConcurrency: wants 0-10000, got 10001"},
	{name: "errors of 101 percent", text: "maxErrors: 101%\n", schema: sees, want: "1:12: maxErrors: wants 0%-100%, got 101%"},
	{name: "negative errors", text: "maxErrors: -1\n", schema: sees, want: `1:12: maxErrors: wants a number of instances such as 5, or a share such as "10%", got -1`},
	{name: "errors in words", text: "maxErrors: few\n", schema: sees, want: `1:12: maxErrors: wants a number of instances such as 5, or a share such as "10%", got "few"`},
	{name: "a start that is never late", text: "startLateMinutes: 0\n", schema: sees, want: "1:19: startLateMinutes: wants 1-1440, got 0"},
	{name: "a group whose scripts alone take longer", text: fleet + "group: true\napplication: {kind: script, preScript: /a, postScript: /b, timeoutSeconds: 30, retries: 1}\ngroupBudgetSeconds: 60\n", want: "5:21: groupBudgetSeconds: wants at least 70, got 60: the scripts may take 1m0s, the commands 5s and a freeze no less than 5s"},
	{name: "a group without time for the commands", text: fleet + "group: true\ngroupBudgetSeconds: 9\n", want: "4:21: groupBudgetSeconds: wants at least 10, got 9: the scripts may take 0s, the commands 5s and a freeze no less than 5s"},
	{name: "a group a few at a time", text: fleet + "group: true\nmaxConcurrency: 2\n", want: "4:17: maxConcurrency: is given, but a group holds all its targets at once"},
	{name: "a receiver of two kinds", text: "notification:\n  - email: a@example.com\n    topicArn: arn:aws:sns:eu-west-1:123456789012:x\n", schema: sees, want: "2:5: notification[0]: wants either email or topicArn"},
	{name: "no address", text: "notification:\n  - email: you\n", want: `2:12: notification[0].email: wants an address such as dba@example.com, got "you"`},
	{name: "no topic", text: "notification: [{topicArn: \"arn:aws:sqs:eu-west-1:123456789012:x\"}]\n", schema: sees, want: `1:27: notification[0].topicArn: wants an SNS topic's ARN, got "arn:aws:sqs:eu-west-1:123456789012:x"`},
	{name: "an unknown outcome", text: "notification: [{email: a@example.com, on: [always]}]\n", schema: sees, want: `1:44: notification[0].on[0]: wants completed, degraded, failed or thaw-failed, got "always"`},

	{name: "a retention by another's word", text: "retention: {last: 1, count: 3}\n", schema: sees, want: "1:22: retention.count: is unknown: wants one of last, within, hourly, daily, weekly, monthly, yearly, timezone"},
	{name: "a negative retention", text: "retention: {daily: -1}\n", schema: sees, want: "1:20: retention.daily: wants 0-1000, got -1"},
	{name: "a retention that is too large", text: "retention:\n  last: 1001\n", schema: sees, want: "2:9: retention.last: wants 0-1000, got 1001"},
	{name: "a fraction of a week", text: "retention: {weekly: 1.5}\n", schema: sees, want: "1:21: retention.weekly: wants a whole number, got 1.5"},
	{name: "an age that is none", text: "retention: {within: soon}\n", schema: sees, want: `1:21: retention.within: wants an age such as 30d, 36h or 1y6m, got "soon"`},
	{name: "an age without a unit", text: "retention:\n  within: 30\n", schema: sees, want: "2:11: retention.within: wants an age such as 30d, 36h or 1y6m, got 30"},
	{name: "an age of nothing", text: "retention: {within: 0d}\n", schema: sees, want: `1:21: retention.within: wants an age such as 30d, 36h or 1y6m, got "0d"`},
	{name: "units in another order", text: "retention: {within: 6m1y}\n", schema: sees, want: `1:21: retention.within: wants an age such as 30d, 36h or 1y6m, got "6m1y"`},
	{name: "an age of five digits", text: "retention: {within: 99999h}\n", schema: sees, want: `1:21: retention.within: wants numbers up to 9999, got "99999h"`},
	{name: "an age beyond a century", text: "retention: {within: 100y1d}\n", want: "1:21: retention.within: wants at most 100y, got 100y1d"},
	{name: "a retention's unknown zone", text: "retention: {last: 1, timezone: Mars/Olympus}\n", want: `1:32: retention.timezone: wants an IANA time zone such as Europe/Berlin, got "Mars/Olympus", which does not exist`},
	{name: "a retention of nothing", text: "retention: {}\n", schema: sees, want: "1:12: retention: names nothing to keep: wants a number above 0 or an age; leave it out and every set is kept"},
	{name: "a retention of zeroes", text: "retention:\n  last: 0\n", want: "1:1: retention: names nothing to keep: wants a number above 0 or an age; leave it out and every set is kept"},
	{name: "a zone in which nothing is kept", text: "retention: {timezone: Asia/Tokyo}\n", schema: sees, want: "1:12: retention: names nothing to keep: wants a number above 0 or an age; leave it out and every set is kept"},
	{name: "four copies", text: "copies: [{region: eu-west-1}, {region: eu-west-2}, {region: eu-west-3}, {region: us-east-1}]\n", schema: sees, want: "1:9: copies: wants at most 3 Regions, got 4"},
	{name: "a copy to nowhere", text: "copies: [{encrypted: true}]\n", schema: sees, want: `1:10: copies[0].region: wants a Region such as eu-west-1, got ""`},
	{name: "a copy to no Region", text: "copies: [{region: Ireland}]\n", schema: sees, want: `1:19: copies[0].region: wants a Region such as eu-west-1, got "Ireland"`},
	{name: "a Region twice", text: "copies: [{region: eu-west-1}, {region: eu-west-1}]\n", want: "1:40: copies[1].region: names eu-west-1 a second time"},
	{name: "an alias for a key", text: "copies: [{region: eu-west-1, encrypted: true, keyArn: alias/backup}]\n", schema: sees, want: `1:55: copies[0].keyArn: wants the ARN of a KMS key, got "alias/backup"`},
	{name: "a key of another Region", text: "copies: [{region: eu-west-1, encrypted: true, keyArn: 'arn:aws:kms:eu-west-2:123456789012:key/1'}]\n", want: "1:55: copies[0].keyArn: is a key of eu-west-2, but the copy goes to eu-west-1: a key works in its own Region"},
	{name: "a key for nothing", text: "copies: [{region: eu-west-1, keyArn: 'arn:aws:kms:eu-west-1:123456789012:key/1'}]\n", schema: sees, want: "1:10: copies[0].encrypted: wants true: keyArn is given, and nothing else uses it"},
	{name: "a copy's retention of nothing", text: "copies: [{region: eu-west-1, retention: {}}]\n", schema: sees, want: "1:41: copies[0].retention: names nothing to keep: wants a number above 0 or an age; leave it out and every set is kept"},
	{name: "a copy's retention that is too large", text: "copies: [{region: eu-west-1, retention: {daily: 1001}}]\n", schema: sees, want: "1:49: copies[0].retention.daily: wants 0-1000, got 1001"},
	{name: "a share with nobody", text: "share: {unshareAfter: 1d}\n", schema: sees, want: "1:8: share.accounts: wants 1-50 accounts, got 0"},
	{name: "a share of nothing", text: "share: {}\n", schema: sees, want: "1:8: share: says nothing"},
	{name: "a share with everybody", text: "share: {accounts: [all]}\n", schema: sees, want: `1:20: share.accounts[0]: wants an account's 12 digits, got "all"`},
	{name: "an account as a number", text: "share: {accounts: [210987654321]}\n", schema: sees, want: "1:20: share.accounts[0]: wants text, got 210987654321: put it in quotes"},
	{name: "an account twice", text: "share: {accounts: [\"210987654321\", \"210987654321\"]}\n", schema: sees, want: "1:36: share.accounts[1]: names 210987654321 a second time"},
	{name: "a share for good beside a retention", text: "share: {accounts: [\"210987654321\"]}\nretention: {last: 3}\n", want: "1:8: share.unshareAfter: is missing: a set that is shared is not deleted, so that retention would keep every one"},
	{name: "a share as long as the set is kept", text: "share: {accounts: [\"210987654321\"], unshareAfter: 1m}\nretention: {within: 28d}\n", want: "1:51: share.unshareAfter: wants less than retention.within, which is 28d, got 1m: a set that is shared is not deleted"},
	{name: "an archive at once", text: "archive: {after: 1h}\nretention: {monthly: 1}\n", want: "1:18: archive.after: wants at least 1d, got 1h"},
	{name: "an archive for less than is billed", text: "archive: {after: 30d, keep: 89d}\nretention: {monthly: 1}\n", want: "1:29: archive.keep: wants at least 90d, which are billed for in any case, got 89d"},
	{name: "an archive of every night", text: "archive: {after: 30d}\nretention: {daily: 60}\n", want: "1:10: archive: wants retention.monthly or retention.yearly: those alone are archived that are kept for a month's or a year's sake, because each is stored as a full snapshot, for 90 days at the least"},
	{name: "an archive of what is shared", text: "archive: {after: 30d}\nretention: {monthly: 6}\nshare: {accounts: [\"210987654321\"], unshareAfter: 30d}\n", want: "1:18: archive.after: wants more than share.unshareAfter, which is 30d, got 30d: what is archived is shared with nobody"},
	{name: "an archive of what is restored fast", text: "archive: {after: 30d}\nretention: {monthly: 6}\nfastRestore: {zones: [eu-central-1a], within: 60d}\n", want: "1:18: archive.after: wants more than fastRestore.within, which is 60d, got 30d: what is archived is not restored fast"},
	{name: "fast restores in no zone", text: "fastRestore: {count: 1}\n", schema: sees, want: "1:14: fastRestore.zones: wants 1-10 zones, got 0"},
	{name: "fast restores of nothing", text: "fastRestore: {zones: [eu-central-1a]}\n", schema: sees, want: "1:14: fastRestore: wants either count or within"},
	{name: "fast restores by two rules", text: "fastRestore: {zones: [eu-central-1a], count: 1, within: 1d}\n", schema: sees, want: "1:14: fastRestore: wants either count or within"},
	{name: "a zone that is a Region", text: "fastRestore: {zones: [eu-central-1], count: 1}\n", schema: sees, want: `1:23: fastRestore.zones[0]: wants a zone such as eu-central-1a, got "eu-central-1"`},
	{name: "zones of two Regions", text: "fastRestore: {zones: [eu-central-1a, eu-west-1a], count: 1}\n", want: "1:38: fastRestore.zones[1]: is of another Region than eu-central-1a: a set is restored fast where it is"},
	{name: "a lock of no sort", text: "lock: {mode: legal-hold, days: 1}\n", schema: sees, want: `1:14: lock.mode: wants governance or compliance, got "legal-hold"`},
	{name: "a lock for no time", text: "lock: {mode: governance}\n", schema: sees, want: "1:7: lock.days: wants 1-36500, got 0"},
	{name: "a lock of centuries", text: "lock: {mode: governance, days: 36501}\n", schema: sees, want: "1:32: lock.days: wants 1-36500, got 36501"},
	{name: "a cooling-off of what can be undone", text: "lock: {mode: governance, days: 1, coolOffHours: 1}\n", schema: sees, want: "1:49: lock.coolOffHours: is given, but mode is governance, which can be undone at any time"},
	{name: "a cooling-off of four days", text: "lock: {mode: compliance, days: 1, coolOffHours: 73}\n", schema: sees, want: "1:49: lock.coolOffHours: wants 0-72, got 73"},
	{name: "nothing to skip", text: "skipDegraded: true\n", want: "1:15: skipDegraded: is given, but nothing becomes of any set: wants copies, share, archive, fastRestore or lock"},

	{name: "a restore test on no instance", text: "restoreTest: {}\n", schema: sees, want: "1:14: restoreTest.instance: is missing: copies are attached to an instance that is named"},
	{name: "a restore test on nobody's instance", text: "restoreTest: {instance: db}\n", schema: sees, want: `1:25: restoreTest.instance: wants an instance id such as i-0abc12345678def90, got "db"`},
	{name: "a restore test of scripts", text: "restoreTest: {instance: i-0abc12345678def90, application: script}\n", schema: sees, want: `1:59: restoreTest.application: wants none, mariadb, mongodb, mysql, postgresql, redis, got "script"`},
	{name: "a check by a relative path", text: "restoreTest: {instance: i-0abc12345678def90, check: ./check}\n", schema: sees, want: `1:53: restoreTest.check: wants an absolute path, got "./check"`},
	{name: "a test that has no time", text: "restoreTest: {instance: i-0abc12345678def90, timeLimitMinutes: 4}\n", schema: sees, want: "1:64: restoreTest.timeLimitMinutes: wants 5-360, got 4"},
	{name: "a limit of an unknown price", text: "restoreTest: {instance: i-0abc12345678def90, costLimit: 2}\n", schema: sees, want: "1:14: restoreTest.pricePerGiBMonth: is missing: a cost is limited by a price that you give"},
	{name: "a price below nothing", text: "restoreTest: {instance: i-0abc12345678def90, pricePerGiBMonth: -0.1}\n", schema: sees, want: "1:64: restoreTest.pricePerGiBMonth: wants a number such as 2 or 0.05, got -0.1"},
	{name: "a price in words", text: "restoreTest: {instance: i-0abc12345678def90, pricePerGiBMonth: cheap}\n", schema: sees, want: `1:64: restoreTest.pricePerGiBMonth: wants a number such as 2 or 0.05, got "cheap"`},
	{name: "a test that never comes", text: "restoreTest: {instance: i-0abc12345678def90, schedule: {expression: cron(0 3 30 2 ? *)}}\n", want: `1:69: restoreTest.schedule.expression: never fires again: no such day or year is to come, got "cron(0 3 30 2 ? *)"`},
	{name: "a test in an unknown zone", text: "restoreTest: {instance: i-0abc12345678def90, schedule: {expression: cron(0 3 * * ? *), timezone: Mars/Olympus}}\n", want: `1:98: restoreTest.schedule.timezone: wants an IANA time zone such as Europe/Berlin, got "Mars/Olympus", which does not exist`},

	{name: "a zone that does not exist", text: fleet + "schedules:\n  - expression: cron(0 2 * * ? *)\n    timezone: Europe/Berlinn\n", want: `5:15: schedules[0].timezone: wants an IANA time zone such as Europe/Berlin, got "Europe/Berlinn", which does not exist`},
	{name: "the machine's own zone", text: fleet + "schedules: [{expression: cron(0 2 * * ? *), timezone: Local}]\n", want: `3:55: schedules[0].timezone: wants an IANA time zone such as Europe/Berlin, got "Local", which does not exist`},
	{name: "a rate with a zone", text: fleet + "schedules: [{expression: rate(1 day), timezone: Asia/Tokyo}]\n", want: "3:49: schedules[0].timezone: is given, but a rate counts hours from its deployment wherever that is: wants cron(...)"},
	{name: "a schedule of nothing", text: fleet + "schedules:\n  - name: nightly\n", schema: sees, want: "4:5: schedules[0].expression: is missing: wants cron(...) or rate(...)"},
	{name: "a bad cron", text: fleet + "schedules:\n  - expression: cron(0 2 * * *)\n", schema: sees, want: "4:17: schedules[0].expression: wants 6 fields (minutes hours day-of-month month day-of-week year), got 5"},
	{name: "a day that never comes", text: fleet + "schedules: [{expression: cron(0 2 30 FEB ? *)}]\n", want: `3:26: schedules[0].expression: never fires again: no such day or year is to come, got "cron(0 2 30 FEB ? *)"`},
	{name: "a year that is over", text: fleet + "schedules: [{expression: cron(0 2 * * ? 2025)}]\n", want: `3:26: schedules[0].expression: never fires again: no such day or year is to come, got "cron(0 2 * * ? 2025)"`},
	{name: "every five minutes", text: fleet + "schedules: [{expression: cron(*/5 2 * * ? *)}]\n", want: "3:26: schedules[0].expression: wants at least 15 minutes between starts, got 5 (after 2026-01-03 02:00 UTC)"},
	{name: "a rate of five minutes", text: fleet + "schedules: [{expression: rate(5 minutes)}]\n", want: `3:26: schedules[0].expression: wants a rate of 15 minutes to 366 days, got "rate(5 minutes)"`},
	{name: "a rate beside a cron", text: fleet + "schedules:\n  - expression: cron(0 2 * * ? *)\n  - expression: rate(6 hours)\n", want: "5:17: schedules[1].expression: cannot stand beside schedule-1: a rate counts from its deployment, so that nobody can tell when the two meet: wants cron(...) for both"},
	{name: "a name for two schedules", text: fleet + "schedules:\n  - {name: a, expression: cron(0 2 * * ? *)}\n  - {name: a, expression: cron(0 3 * * ? *)}\n", want: "5:12: schedules[1].name: is a, as another schedule's"},
	{name: "schedules that meet", text: fleet + "schedules:\n  - {name: nightly, expression: cron(0 2 * * ? *)}\n  - {name: weekly, expression: cron(0/30 0-3 ? * SUN *)}\n", want: "5:32: schedules[1].expression: fires together with nightly, first at 2026-01-04 02:00 UTC: an instance can be in one run at a time"},
	{name: "schedules that meet across zones, in summer", text: fleet + "schedules:\n  - {expression: cron(0 1 * * ? *)}\n  - {expression: cron(0 3 * * ? *), timezone: Europe/Berlin}\n", want: "5:18: schedules[1].expression: fires together with schedule-1, first at 2026-03-29 03:00 CEST, 2026-03-29 01:00 UTC: an instance can be in one run at a time"},
	{name: "schedules that meet on a leap day", text: fleet + "schedules:\n  - {expression: cron(0 1 L * ? *)}\n  - {expression: cron(0 1 29 FEB ? *)}\n", want: "5:18: schedules[1].expression: fires together with schedule-1, first at 2028-02-29 01:00 UTC: an instance can be in one run at a time"},

	{name: "a group of the plug-in", text: "name: a\nmode: plugin\nramRole: R\ngroup: true\ntargets: {tags: {a: b}}\n", want: "2:7: mode: is plugin, but a group is held by the workflow"},
	{name: "all at once", text: "name: a b\napplication: {kind: 5, preScript: /a}\nonFailure: ignore\nschedules:\n  - expression: cron(x)\n    timezone: Nowhere\n", schema: sees, want: `1:7: name: wants 1-64 letters, digits, dots, dashes or underscores, got "a b"
2:21: application.kind: wants text, got 5: put it in quotes
3:12: onFailure: wants degrade or fail, got "ignore"
4:1: targets: is missing: schedules and a group need instanceIds or tags
5:17: schedules[0].expression: wants 6 fields (minutes hours day-of-month month day-of-week year), got 1
6:15: schedules[0].timezone: wants an IANA time zone such as Europe/Berlin, got "Nowhere", which does not exist`},
}

func TestReadNamesLineColumnAndField(t *testing.T) {
	for _, tt := range refusals {
		t.Run(tt.name, func(t *testing.T) {
			_, err := policy.ReadAt("db.yaml", []byte(tt.text), now)
			if err == nil {
				t.Fatal("it was taken")
			}
			want := "db.yaml:" + strings.ReplaceAll(tt.want, "\n", "\ndb.yaml:")
			if err.Error() != want {
				t.Errorf("got  %v\nwant %s", err, want)
			}
			if code := fault.CodeOf(err); code != fault.InvalidInput {
				t.Errorf("got the code %s", code)
			}
			var p policy.Problem
			var f *fault.Error
			if !errors.As(err, &p) || !errors.As(err, &f) || f != p.Fault || p.File != "db.yaml" {
				t.Errorf("the problem and its fault cannot be got at: %#v", err)
			}
		})
	}
}

var accepted = []string{
	"name: x\n",
	"{}\n",
	`{"$schema": "policy.schema.json", "name": "db", "onFailure": "fail", "freeze": {"enabled": false}}`,
	"{\n\t\"name\": \"tabs\",\n\t\"freeze\": {\n\t\t\"deadlineSeconds\": 5\n\t}\n}\n",
	"maxErrors: 5\n",
	"maxErrors: \"5\"\n",
	"maxErrors: 0%\n",
	fleet + "schedules: [{expression: rate(1 hour)}]\n",
	fleet + "schedules:\n  - {expression: cron(0 1 * * ? *)}\n  - {expression: cron(15 3 * * ? *), timezone: Europe/Berlin}\n",
	fleet + "group: true\ngroupBudgetSeconds: 60\n",
	"tags: {a: '', b: $(policy)-$(instance-id)}\n",
	"application: {kind: document, document: Ledger, retries: 3}\nfreeze: {enabled: false}\n",
	"application: {kind: auto, optionFile: /etc/quiesce.cnf, ftwrlWaitTimeout: 5}\n",
	"application: {kind: mariadb}\n",
	"application: {kind: mariadb, optionFile: /etc/quiesce.cnf, mode: ftwrl, timeoutSeconds: 20, ftwrlWaitTimeout: 180, ftwrlWaitThreshold: 5, ftwrlWaitQueryType: update, killLongQueriesTimeout: 10, killLongQueryType: all}\n",
	"application: {kind: redis, socket: /run/redis/redis.sock}\n",
	"retention: {last: 1000}\n",
	"retention: {last: 3, within: 1y2m3w4d5h, hourly: 24, daily: 7, weekly: 5, monthly: 12, yearly: 10, timezone: Europe/Berlin}\n",
	"retention: {within: 100y}\n",
	"restoreTest: {instance: i-0abc12345678def90}\n",
	"restoreTest: {instance: i-0abc12345678def90, application: mariadb, check: /opt/check, timeLimitMinutes: 360, costLimit: 2.5, pricePerGiBMonth: 0.0952, schedule: {expression: cron(0 5 ? * SUN *), timezone: Europe/Berlin}}\n",
	"copies: [{region: eu-west-1}, {region: us-gov-east-1, encrypted: true, retention: {last: 2}}]\n",
	"copies:\n  - {region: eu-west-1, encrypted: true, keyArn: 'arn:aws:kms:eu-west-1:123456789012:key/mrk-0a'}\n",
	"share: {accounts: [\"210987654321\"]}\n",
	"retention: {within: 30d, monthly: 12}\nshare: {accounts: [\"210987654321\"], unshareAfter: 29d}\narchive: {after: 60d, keep: 1y}\n",
	"fastRestore: {zones: [eu-central-1a, eu-central-1b], count: 1}\n",
	"fastRestore: {zones: [eu-central-1a], within: 36h}\nskipDegraded: true\n",
	"lock: {mode: governance, days: 36500}\n",
	"lock: {mode: compliance, days: 1, coolOffHours: 72}\n",
}

func TestReadTakes(t *testing.T) {
	for _, text := range accepted {
		if _, err := policy.ReadAt("db.yaml", []byte(text), now); err != nil {
			t.Errorf("%s\nrefused: %v", text, err)
		}
	}
}

func TestReadFillsDefaultsAndKeepsWhatIsWritten(t *testing.T) {
	text := `# yaml-language-server: $schema=x
name: db
application:
  kind: script
  preScript: /opt/pre
  postScript: /opt/post
  timeoutSeconds: 30
volumes: {excludeBoot: false}
targets: {tags: {ConsistentSnapshot: ""}}
schedules:
  - expression: cron(30 3 * * ? *)
    timezone: Europe/Berlin
maxErrors: 20%
notification: [{email: a@example.com}]
retention: {within: 36h, weekly: 4}
`
	got, err := policy.ReadAt("db.yaml", []byte(text), now)
	if err != nil {
		t.Fatal(err)
	}
	want := policy.DefaultDocument()
	want.Name = "db"
	want.Application = policy.Application{Kind: policy.Script, PreScript: "/opt/pre", PostScript: "/opt/post", TimeoutSeconds: 30}
	want.Volumes.ExcludeBoot = false
	want.Targets.Tags = map[string]string{"ConsistentSnapshot": ""}
	want.Schedules = []policy.Schedule{{Expression: "cron(30 3 * * ? *)", Timezone: "Europe/Berlin"}}
	want.MaxErrors = policy.Tolerance{Value: 20, Percent: true}
	want.Retention = policy.Retention{Within: policy.Age{Hours: 36}, Weekly: 4}
	want.Notification = []policy.Notification{{Email: "a@example.com"}}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if !slices.Equal(got.Notification[0].Wants(), policy.DefaultOutcomes) {
		t.Errorf("got %v", got.Notification[0].Wants())
	}
	if got.ScheduleName(0) != "schedule-1" || got.StartLate() != time.Hour {
		t.Errorf("got %s and %s", got.ScheduleName(0), got.StartLate())
	}
}

func FuzzRead(f *testing.F) {
	for _, tt := range refusals {
		f.Add([]byte(tt.text))
	}
	for _, text := range accepted {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		d, err := policy.ReadAt("f", text, now)
		if err == nil && d.Check(now) != nil {
			t.Errorf("taken, and not good: %v", d.Check(now))
		}
		if err != nil && fault.CodeOf(err) != fault.InvalidInput {
			t.Errorf("%v has no code", err)
		}
	})
}
