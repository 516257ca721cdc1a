package fault

// The closed set. A new code is a new line in the table below and in the
// workflow's contract test, which demands that a state handles it.
const (
	InvalidInput           Code = "InvalidInput"
	AccessDenied           Code = "AccessDenied"
	Throttled              Code = "Throttled"
	Unavailable            Code = "Unavailable"
	InstanceNotFound       Code = "InstanceNotFound"
	InstanceNotRunning     Code = "InstanceNotRunning"
	InstanceNotOptedIn     Code = "InstanceNotOptedIn"
	AgentOffline           Code = "AgentOffline"
	CommandTimedOut        Code = "CommandTimedOut"
	CommandFailed          Code = "CommandFailed"
	TooLate                Code = "TooLate"
	HelperNotDelivered     Code = "HelperNotDelivered"
	RunInProgress          Code = "RunInProgress"
	NoSession              Code = "NoSession"
	NothingToSnapshot      Code = "NothingToSnapshot"
	VolumeUnresolved       Code = "VolumeUnresolved"
	VolumeUnsupported      Code = "VolumeUnsupported"
	ApplicationNotFound    Code = "ApplicationNotFound"
	ApplicationRefused     Code = "ApplicationRefused"
	ApplicationBusy        Code = "ApplicationBusy"
	ApplicationNotReady    Code = "ApplicationNotReady"
	ScriptUnsafe           Code = "ScriptUnsafe"
	ScriptFailed           Code = "ScriptFailed"
	ScriptTimedOut         Code = "ScriptTimedOut"
	FreezeRefused          Code = "FreezeRefused"
	FreezeTimedOut         Code = "FreezeTimedOut"
	ForeignFreeze          Code = "ForeignFreeze"
	AlreadyFrozen          Code = "AlreadyFrozen"
	AlreadyThawed          Code = "AlreadyThawed"
	HoldLost               Code = "HoldLost"
	SnapshotTooSoon        Code = "SnapshotTooSoon"
	SnapshotThrottled      Code = "SnapshotThrottled"
	SnapshotRefused        Code = "SnapshotRefused"
	SnapshotOutcomeUnknown Code = "SnapshotOutcomeUnknown"
	SnapshotFailed         Code = "SnapshotFailed"
	SnapshotTimedOut       Code = "SnapshotTimedOut"
	SnapshotQuotaExceeded  Code = "SnapshotQuotaExceeded"
	CopyLimitReached       Code = "CopyLimitReached"
	CopyFailed             Code = "CopyFailed"
	ShareRefused           Code = "ShareRefused"
	ThawFailed             Code = "ThawFailed"
	PluginRefused          Code = "PluginRefused"
	PluginFailed           Code = "PluginFailed"
	PluginScriptFailed     Code = "PluginScriptFailed"
	PluginUntagged         Code = "PluginUntagged"
	InstanceRoleMissing    Code = "InstanceRoleMissing"
	InstanceProfileMissing Code = "InstanceProfileMissing"
	CommandUnknown         Code = "CommandUnknown"
	VssRefused             Code = "VssRefused"
	VssComponentsMissing   Code = "VssComponentsMissing"
	VssTimedOut            Code = "VssTimedOut"
	VssWriterFailed        Code = "VssWriterFailed"
	VssFailed              Code = "VssFailed"
	VssUnproved            Code = "VssUnproved"
	ShadowFailed           Code = "ShadowFailed"
	SetNotRestorable       Code = "SetNotRestorable"
	VolumeBusy             Code = "VolumeBusy"
	RestoreRefused         Code = "RestoreRefused"
	RestoreTimedOut        Code = "RestoreTimedOut"
	RestoreTestFailed      Code = "RestoreTestFailed"
	RecoveryFailed         Code = "RecoveryFailed"
	Internal               Code = "Internal"
)

type entry struct {
	retryable bool
	next      string
}

var table = map[Code]entry{
	InvalidInput:           {false, "Correct the named field and start again; nothing was touched."},
	AccessDenied:           {false, "Grant the step's role the action named in the message; nothing else helps."},
	Throttled:              {true, "Wait; if it recurs, spread the schedules or ask for a higher quota."},
	Unavailable:            {true, "Wait; look at the provider's health page if it lasts."},
	InstanceNotFound:       {false, "Check the instance id, account and Region."},
	InstanceNotRunning:     {false, "Start the instance, or snapshot it stopped without a freeze."},
	InstanceNotOptedIn:     {false, "Put the opt-in tag on the instance if it may be commanded."},
	AgentOffline:           {true, "Check that the agent runs on the instance and reaches its endpoint."},
	CommandTimedOut:        {false, "See what else occupies the agent on the instance; the command may still arrive and will refuse."},
	CommandFailed:          {false, "Read the command's output in the cloud's console."},
	TooLate:                {false, "Nothing: the command arrived after its limit and did nothing. Start a new run."},
	HelperNotDelivered:     {true, "Check that the instance reaches the asset bucket and has curl or wget and space under /var/lib."},
	RunInProgress:          {false, "Wait for the run that is named to end, or stop it."},
	NoSession:              {false, "Start a new run; the instance knows no session of this one."},
	NothingToSnapshot:      {false, "Check the policy's exclusions against the instance's volumes."},
	VolumeUnresolved:       {false, "Exclude the named mount, or include every volume under it."},
	VolumeUnsupported:      {false, "Exclude the named volume."},
	ApplicationNotFound:    {false, "Check that the server runs on the instance and that the policy names its socket or option file."},
	ApplicationRefused:     {false, "Grant the helper's account on the server what the message names, or change the mode."},
	ApplicationBusy:        {false, "See which query the message names; raise the wait limits or move the schedule."},
	ApplicationNotReady:    {true, "See in the document's output what the application waits for; start again when it is ready."},
	ScriptUnsafe:           {false, "Make the script and its folders root's own, writable by root alone, and the script executable."},
	ScriptFailed:           {false, "Read the script's own log on the instance, or the document's output in the cloud's console; run it by hand."},
	ScriptTimedOut:         {false, "Raise timeoutSeconds or make the script quicker; its processes were killed."},
	FreezeRefused:          {false, "Read which mount refused and why; exclude it or change the policy."},
	FreezeTimedOut:         {false, "Look for a device that does not answer; writes were let go again."},
	ForeignFreeze:          {false, "Find who froze the filesystem; Quiesce never thaws what it did not freeze. If it was your document, set freeze.enabled to false."},
	AlreadyFrozen:          {false, "Find what the document froze before, or who else did; run its post-script by hand, then start again."},
	AlreadyThawed:          {false, "Find who let the application go before its time: the document's own net, its post-script, or a person."},
	HoldLost:               {false, "Find who thawed the filesystem or ended the session on the server, or why the window outlasted its deadline."},
	SnapshotTooSoon:        {true, "Wait until the volume's pending snapshots are done."},
	SnapshotThrottled:      {true, "Spread the schedules; the window was not kept open for it."},
	SnapshotRefused:        {false, "Read the provider's reason in the message."},
	SnapshotOutcomeUnknown: {true, "Nothing yet: the run's tag is looked up before any other attempt."},
	SnapshotFailed:         {false, "Start a new run; the failed set is not restorable."},
	SnapshotTimedOut:       {false, "Look at the snapshots in the console; the set may still complete."},
	CopyLimitReached:       {true, "Nothing: the copy is begun when others into that Region are done."},
	CopyFailed:             {true, "See in that Region whether the key is there and may be used; the copy is tried again."},
	ShareRefused:           {false, "Encrypt the instance's volumes with a key of your own, and let the other accounts use it; what AWS's own key encrypts cannot be shared."},
	ThawFailed:             {true, "Look at the instance now: `quiesce-guest thaw`, else `fsfreeze -u`, else SysRq-j."},
	SnapshotQuotaExceeded:  {false, "Delete snapshots that are no longer needed, or ask for a higher quota."},
	PluginRefused:          {false, "Check the instance against what the plug-in needs: ESSD disks without multi-attach, its system's version, a way to the ECS API."},
	PluginFailed:           {false, "Look at the instance and whether its filesystems take writes; the plug-in's log on it says more than its exit code."},
	PluginScriptFailed:     {false, "Look at the application now, it may still be at rest: run the post-script by hand, then read its log."},
	PluginUntagged:         {false, "Grant the instance's role ecs:TagResources; the set exists and says crash, because nothing more was written on it."},
	InstanceRoleMissing:    {false, "Attach a RAM role with the plug-in's four rights to the instance (ecs:AttachInstanceRamRole), and start again."},
	InstanceProfileMissing: {false, "Attach an instance profile with the managed policy AWSEC2VssSnapshotPolicy besides AmazonSSMManagedInstanceCore, and start again."},
	CommandUnknown:         {true, "Nothing yet: the command is looked for by its comment before any other attempt."},
	VssRefused:             {false, "Bring the instance to what the message names: Windows Server 2016 or later, a current SSM Agent, PowerShell in FullLanguage mode, no nano or micro size; or take mode diskshadow."},
	VssComponentsMissing:   {false, "Install the package AwsVssComponents by AWS-ConfigureAWSPackage and read its output; the instance needs a way to S3 and Systems Manager for it."},
	VssTimedOut:            {true, "Try when the instance has less to do; look at `vssadmin list writers`, antivirus software, PowerShell's module logging and throttled EC2 calls; or set vss.collectLogs."},
	VssWriterFailed:        {false, "Run `vssadmin list writers` on the instance and restart the service of the writer that reports an error."},
	VssFailed:              {false, "Read the command's output in Systems Manager's console and the instance's application log (Ec2VssSoftwareProvider, VSS); a private subnet needs the endpoint com.amazonaws.REGION.ec2."},
	VssUnproved:            {false, "Read the command's output and the instance's application log; the set exists and says crash, because AWS's component did not write AppConsistent on every snapshot."},
	ShadowFailed:           {false, "Run the same by hand: `diskshadow`, `set context persistent`, `add volume`, `create`; it says which volume or provider refuses."},
	SetNotRestorable:       {false, "Choose another set; nothing was created and nothing stopped."},
	VolumeBusy:             {true, "Wait; if it lasts, see what on the instance still uses the volume."},
	RestoreRefused:         {false, "Read the provider's reason in the message, then `quiesce restore --cleanup` what was created."},
	RestoreTimedOut:        {false, "Look at the named instance or volume in the console; the restore can be rolled back or cleaned up."},
	RestoreTestFailed:      {false, "Read what the check found. Restore the set beside and look; take a new one and test that."},
	RecoveryFailed:         {false, "Read the problems, and look at the copies where they are mounted; restore another set if this one is damaged. The original was not touched."},
	Internal:               {true, "Report it with the execution's history; the instance was released."},
}

// Codes returns every code of the closed set, in no particular order.
func Codes() []Code {
	codes := make([]Code, 0, len(table))
	for c := range table {
		codes = append(codes, c)
	}
	return codes
}
