# The definition is the very file that the local engine runs.
locals {
  # Names of flows that functions are told, which flows are made of in their turn.
  flow     = "${var.name}-snapshot"
  janitor  = "${var.name}-janitor"
  verifier = "${var.name}-verify"

  # Functions that no flow calls, and those of a restore and of a restore test,
  # which have roles of their own.
  uncalled = [
    "wake", "prune", "sweep",
    "restore-plan", "restore-create", "restore-image", "restore-move", "restore-recover", "restore-power", "restore-settle", "restore-report",
    "verify-choose", "verify-mark", "verify-recover", "verify-clean", "verify-report",
  ]

  # Those that the flow of a restore test calls: some are a restore's.
  tests = ["restore-plan", "restore-create", "restore-move", "verify-choose", "verify-mark", "verify-recover", "verify-clean", "verify-report"]

  arn = { for step, f in alicloud_fcv3_function.step : step => "acs:fc:${var.region}:${local.account}:functions/${f.function_name}/LATEST" }
}

resource "alicloud_ram_role" "flow" {
  role_name                   = "${var.name}-flow"
  description                 = "Quiesce: the flow"
  assume_role_policy_document = local.trust["fnf"]
}

resource "alicloud_ram_policy" "flow" {
  policy_name = "${var.name}-flow"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["fc:InvokeFunction"]
        Resource = [for step, f in alicloud_fcv3_function.step : "acs:fc:${var.region}:${local.account}:functions/${f.function_name}*" if !contains(local.uncalled, step)]
      },
      { Effect = "Allow", Action = local.publish, Resource = "*" },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "flow" {
  role_name   = alicloud_ram_role.flow.role_name
  policy_name = alicloud_ram_policy.flow.policy_name
  policy_type = "Custom"
}

resource "alicloud_fnf_flow" "snapshot" {
  name        = local.flow
  description = "One consistent snapshot of one instance"
  type        = "FDL"
  role_arn    = alicloud_ram_role.flow.arn
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

# What sweep starts after an execution that broke off. It may call thaw alone.
resource "alicloud_ram_role" "janitor" {
  role_name                   = "${var.name}-janitor"
  description                 = "Quiesce: the janitor's flow"
  assume_role_policy_document = local.trust["fnf"]
}

resource "alicloud_ram_policy" "janitor" {
  policy_name = "${var.name}-janitor"
  policy_document = jsonencode({
    Version = "1"
    Statement = [
      {
        Effect   = "Allow"
        Action   = ["fc:InvokeFunction"]
        Resource = "acs:fc:${var.region}:${local.account}:functions/${alicloud_fcv3_function.step["thaw"].function_name}*"
      },
      { Effect = "Allow", Action = local.publish, Resource = "*" },
    ]
  })
}

resource "alicloud_ram_role_policy_attachment" "janitor" {
  role_name   = alicloud_ram_role.janitor.role_name
  policy_name = alicloud_ram_policy.janitor.policy_name
  policy_type = "Custom"
}

resource "alicloud_fnf_flow" "janitor" {
  name        = local.janitor
  description = "What an execution that was stopped has left is let go"
  type        = "FDL"
  role_arn    = alicloud_ram_role.janitor.arn
  definition = templatefile("${path.module}/../../workflow/janitor.flow.yaml", {
    ThawFunctionArn = local.arn["thaw"]
    EventBusName    = alicloud_event_bridge_event_bus.quiesce.event_bus_name
  })

  depends_on = [alicloud_ram_role_policy_attachment.janitor]
}

resource "alicloud_ram_role" "restore" {
  role_name                   = "${var.name}-restore"
  description                 = "Quiesce: the flow of a restore"
  assume_role_policy_document = local.trust["fnf"]
}

resource "alicloud_ram_policy" "restore" {
  policy_name = "${var.name}-restore"
  policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect   = "Allow"
      Action   = ["fc:InvokeFunction"]
      Resource = [for step, f in alicloud_fcv3_function.step : "acs:fc:${var.region}:${local.account}:functions/${f.function_name}*" if startswith(step, "restore-")]
    }]
  })
}

resource "alicloud_ram_role_policy_attachment" "restore" {
  role_name   = alicloud_ram_role.restore.role_name
  policy_name = alicloud_ram_policy.restore.policy_name
  policy_type = "Custom"
}

resource "alicloud_fnf_flow" "restore" {
  name        = "${var.name}-restore"
  description = "The restore of one whole set"
  type        = "FDL"
  role_arn    = alicloud_ram_role.restore.arn
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

  depends_on = [alicloud_ram_role_policy_attachment.restore]
}

resource "alicloud_ram_role" "verify" {
  role_name                   = "${var.name}-verify"
  description                 = "Quiesce: the flow of a restore test"
  assume_role_policy_document = local.trust["fnf"]
}

resource "alicloud_ram_policy" "verify" {
  policy_name = "${var.name}-verify"
  policy_document = jsonencode({
    Version = "1"
    Statement = [{
      Effect   = "Allow"
      Action   = ["fc:InvokeFunction"]
      Resource = [for step in local.tests : "acs:fc:${var.region}:${local.account}:functions/${alicloud_fcv3_function.step[step].function_name}*"]
    }]
  })
}

resource "alicloud_ram_role_policy_attachment" "verify" {
  role_name   = alicloud_ram_role.verify.role_name
  policy_name = alicloud_ram_policy.verify.policy_name
  policy_type = "Custom"
}

resource "alicloud_fnf_flow" "verify" {
  name        = local.verifier
  description = "The restore test of one set"
  type        = "FDL"
  role_arn    = alicloud_ram_role.verify.arn
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

  depends_on = [alicloud_ram_role_policy_attachment.verify]
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
