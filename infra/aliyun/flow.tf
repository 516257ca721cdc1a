# The definition is the very file that the local engine runs.
locals {
  # Names of flows that functions are told, which flows are made of in their turn.
  flow            = "${var.name}-snapshot"
  janitor         = "${var.name}-janitor"
  verifier        = "${var.name}-verify"
  restorer        = "${var.name}-restore"
  restore_janitor = "${var.name}-restore-janitor"

  # What each flow calls, and no other. A restore test calls some of a restore's.
  calls = {
    snapshot        = ["precheck", "run-prescript", "freeze", "snapshot", "thaw", "poll-status", "await", "tag", "start-plugin", "watch-plugin"]
    janitor         = ["thaw"]
    restore         = ["restore-plan", "restore-create", "restore-image", "restore-move", "restore-recover", "restore-power", "restore-settle", "restore-report"]
    restore-janitor = ["restore-report"]
    verify          = ["restore-plan", "restore-create", "restore-move", "verify-choose", "verify-mark", "verify-recover", "verify-clean", "verify-report"]
  }

  # Those that tell something themselves.
  tells = ["snapshot", "janitor", "restore-janitor"]

  arn = { for step, f in alicloud_fcv3_function.step : step => "acs:fc:${var.region}:${local.account}:functions/${f.function_name}/LATEST" }
}

resource "alicloud_ram_role" "flow" {
  for_each                    = local.calls
  role_name                   = "${var.name}-flow-${each.key}"
  description                 = "Quiesce: the flow ${each.key}"
  assume_role_policy_document = local.trust["fnf"]
}

resource "alicloud_ram_policy" "flow" {
  for_each    = local.calls
  policy_name = "${var.name}-flow-${each.key}"
  policy_document = jsonencode({
    Version = "1"
    Statement = concat(
      [{
        Effect   = "Allow"
        Action   = ["fc:InvokeFunction"]
        Resource = [for step in each.value : "acs:fc:${var.region}:${local.account}:functions/${alicloud_fcv3_function.step[step].function_name}*"]
      }],
      contains(local.tells, each.key) ? [{ Effect = "Allow", Action = local.publish, Resource = ["*"] }] : [],
    )
  })
}

resource "alicloud_ram_role_policy_attachment" "flow" {
  for_each    = local.calls
  role_name   = alicloud_ram_role.flow[each.key].role_name
  policy_name = alicloud_ram_policy.flow[each.key].policy_name
  policy_type = "Custom"
}

resource "alicloud_fnf_flow" "snapshot" {
  name        = local.flow
  description = "One consistent snapshot of one instance"
  type        = "FDL"
  role_arn    = alicloud_ram_role.flow["snapshot"].arn
  definition = templatefile("${path.module}/../../workflow/snapshot.flow.yaml", {
    PrecheckFunctionArn     = local.arn["precheck"]
    RunPrescriptFunctionArn = local.arn["run-prescript"]
    FreezeFunctionArn       = local.arn["freeze"]
    SnapshotFunctionArn     = local.arn["snapshot"]
    ThawFunctionArn         = local.arn["thaw"]
    PollStatusFunctionArn   = local.arn["poll-status"]
    AwaitFunctionArn        = local.arn["await"]
    TagFunctionArn          = local.arn["tag"]
    StartPluginFunctionArn  = local.arn["start-plugin"]
    WatchPluginFunctionArn  = local.arn["watch-plugin"]
    EventBusName            = alicloud_event_bridge_event_bus.quiesce.event_bus_name
  })

  depends_on = [alicloud_ram_role_policy_attachment.flow]
}

resource "alicloud_fnf_schedule" "snapshot" {
  for_each        = var.schedules
  flow_name       = alicloud_fnf_flow.snapshot.name
  schedule_name   = each.key
  description     = "Quiesce: ${each.key}"
  cron_expression = each.value.cron
  payload         = jsonencode(each.value.request)
  enable          = true
}

# What sweep starts after an execution that broke off.
resource "alicloud_fnf_flow" "janitor" {
  name        = local.janitor
  description = "What an execution that was stopped has left is let go"
  type        = "FDL"
  role_arn    = alicloud_ram_role.flow["janitor"].arn
  definition = templatefile("${path.module}/../../workflow/janitor.flow.yaml", {
    ThawFunctionArn = local.arn["thaw"]
    EventBusName    = alicloud_event_bridge_event_bus.quiesce.event_bus_name
  })

  depends_on = [alicloud_ram_role_policy_attachment.flow]
}

resource "alicloud_fnf_flow" "restore_janitor" {
  name        = local.restore_janitor
  description = "What a restore that was stopped has left is told"
  type        = "FDL"
  role_arn    = alicloud_ram_role.flow["restore-janitor"].arn
  definition = templatefile("${path.module}/../../workflow/restorejanitor.flow.yaml", {
    RestoreReportFunctionArn = local.arn["restore-report"]
    EventBusName             = alicloud_event_bridge_event_bus.quiesce.event_bus_name
  })

  depends_on = [alicloud_ram_role_policy_attachment.flow]
}

resource "alicloud_fnf_flow" "restore" {
  name        = local.restorer
  description = "The restore of one whole set"
  type        = "FDL"
  role_arn    = alicloud_ram_role.flow["restore"].arn
  definition = templatefile("${path.module}/../../workflow/restore.flow.yaml", {
    RestorePlanFunctionArn    = local.arn["restore-plan"]
    RestoreCreateFunctionArn  = local.arn["restore-create"]
    RestoreImageFunctionArn   = local.arn["restore-image"]
    RestoreMoveFunctionArn    = local.arn["restore-move"]
    RestoreRecoverFunctionArn = local.arn["restore-recover"]
    RestorePowerFunctionArn   = local.arn["restore-power"]
    RestoreSettleFunctionArn  = local.arn["restore-settle"]
    RestoreReportFunctionArn  = local.arn["restore-report"]
  })

  depends_on = [alicloud_ram_role_policy_attachment.flow]
}

resource "alicloud_fnf_flow" "verify" {
  name        = local.verifier
  description = "The restore test of one set"
  type        = "FDL"
  role_arn    = alicloud_ram_role.flow["verify"].arn
  definition = templatefile("${path.module}/../../workflow/verify.flow.yaml", {
    VerifyChooseFunctionArn  = local.arn["verify-choose"]
    RestorePlanFunctionArn   = local.arn["restore-plan"]
    VerifyMarkFunctionArn    = local.arn["verify-mark"]
    RestoreCreateFunctionArn = local.arn["restore-create"]
    RestoreMoveFunctionArn   = local.arn["restore-move"]
    VerifyRecoverFunctionArn = local.arn["verify-recover"]
    VerifyCleanFunctionArn   = local.arn["verify-clean"]
    VerifyReportFunctionArn  = local.arn["verify-report"]
  })

  depends_on = [alicloud_ram_role_policy_attachment.flow]
}

# Of two tests of one set that a schedule starts, the second finds it marked.
resource "alicloud_fnf_schedule" "verify" {
  for_each        = var.restore_tests
  flow_name       = alicloud_fnf_flow.verify.name
  schedule_name   = each.key
  description     = "Quiesce: whether a set of ${each.key} can be restored"
  cron_expression = each.value.cron
  payload         = jsonencode({ policy = each.value.policy })
  enable          = true
}
