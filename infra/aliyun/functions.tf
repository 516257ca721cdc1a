# One archive for every function: steps and flow are of one version.
locals {
  # Seconds that each may run; the flow's tasks wait a little longer.
  timeouts = {
    precheck      = 300
    run-prescript = 900
    freeze        = 120
    snapshot      = 60
    thaw          = 900
    poll-status   = 60
    await         = 30
    tag           = 60
    start-plugin  = 60
    watch-plugin  = 60
    wake          = 30

    restore-plan    = 120
    restore-create  = 120
    restore-image   = 120
    restore-move    = 120
    restore-recover = 120
    restore-power   = 120
    restore-settle  = 120
    restore-report  = 120

    verify-choose  = 120
    verify-mark    = 120
    verify-recover = 120
    verify-clean   = 300
    verify-report  = 120

    prune = 900
    sweep = 60
  }

  helpers = { for arch, path in var.helpers : arch => { path = path, sha256 = filesha256(path) } }
}

resource "alicloud_log_project" "functions" {
  project_name = "${var.name}-${local.account}-${var.region}"
  description  = "Quiesce: what its functions write"
}

resource "alicloud_log_store" "functions" {
  project_name     = alicloud_log_project.functions.project_name
  logstore_name    = "functions"
  retention_period = var.log_days
}

resource "alicloud_oss_bucket" "assets" {
  bucket = "${var.name}-${local.account}-${var.region}"

  lifecycle_rule {
    id      = "tokens"
    prefix  = "tokens/"
    enabled = true

    expiration {
      days = 2
    }
  }
}

resource "alicloud_oss_bucket_acl" "assets" {
  bucket = alicloud_oss_bucket.assets.bucket
  acl    = "private"
}

resource "alicloud_oss_bucket_object" "helper" {
  for_each = local.helpers
  bucket   = alicloud_oss_bucket.assets.bucket
  key      = "helper/${each.value.sha256}/quiesce-guest"
  source   = each.value.path
}

resource "alicloud_oss_bucket_object" "package" {
  bucket = alicloud_oss_bucket.assets.bucket
  key    = "package/${filesha256(var.package)}/functions.zip"
  source = var.package
}

resource "alicloud_fcv3_function" "step" {
  for_each             = local.timeouts
  function_name        = "${var.name}-${each.key}"
  description          = "Quiesce: ${each.key}"
  runtime              = "go1"
  handler              = "main"
  role                 = alicloud_ram_role.function[each.key].arn
  timeout              = each.value
  memory_size          = 256
  cpu                  = 0.15
  disk_size            = 512
  instance_concurrency = 10
  internet_access      = true

  code {
    oss_bucket_name = alicloud_oss_bucket.assets.bucket
    oss_object_name = alicloud_oss_bucket_object.package.key
  }

  environment_variables = merge(
    {
      QUIESCE_STEP         = each.key
      QUIESCE_BUS          = alicloud_event_bridge_event_bus.quiesce.event_bus_name
      QUIESCE_ASSET_BUCKET = alicloud_oss_bucket.assets.bucket
      QUIESCE_FLOW         = local.flow
      QUIESCE_JANITOR      = local.janitor
      QUIESCE_VERIFIER     = local.verifier
      QUIESCE_RESTORER     = local.restorer

      QUIESCE_RESTORE_JANITOR = local.restore_janitor
    },
    { for arch, helper in local.helpers : "QUIESCE_HELPER_KEY_${arch}" => alicloud_oss_bucket_object.helper[arch].key },
    { for arch, helper in local.helpers : "QUIESCE_HELPER_SHA256_${arch}" => helper.sha256 },
  )

  log_config {
    project                 = alicloud_log_project.functions.project_name
    logstore                = alicloud_log_store.functions.logstore_name
    enable_request_metrics  = true
    enable_instance_metrics = true
  }

  instance_lifecycle_config {
    pre_stop {
      handler = "main"
      timeout = 5
    }
  }

  depends_on = [alicloud_ram_role_policy_attachment.function]
}

# A flow repeats by itself, and says why: nothing else may.
resource "alicloud_fcv3_async_invoke_config" "wake" {
  function_name                  = alicloud_fcv3_function.step["wake"].function_name
  max_async_retry_attempts       = 3
  max_async_event_age_in_seconds = 3600
}

# What a deletion has left over is the next day's: another attempt would only
# meet the same refusal.
resource "alicloud_fcv3_async_invoke_config" "prune" {
  function_name                  = alicloud_fcv3_function.step["prune"].function_name
  max_async_retry_attempts       = 0
  max_async_event_age_in_seconds = 3600
}

resource "alicloud_fcv3_trigger" "prune" {
  for_each      = var.retention
  function_name = alicloud_fcv3_function.step["prune"].function_name
  trigger_name  = each.key
  trigger_type  = "timer"
  description   = "Quiesce: sets of ${each.key} that its policy does not keep are deleted"
  qualifier     = "LATEST"

  trigger_config = jsonencode({
    cronExpression = each.value.cron
    enable         = true
    payload        = jsonencode({ policy = each.value.policy, dryRun = each.value.dry_run })
  })
}

# No event of CloudFlow tells that an execution was stopped: it is looked for. What
# a minute could not do is the next one's.
resource "alicloud_fcv3_async_invoke_config" "sweep" {
  function_name                  = alicloud_fcv3_function.step["sweep"].function_name
  max_async_retry_attempts       = 0
  max_async_event_age_in_seconds = 60
}

resource "alicloud_fcv3_trigger" "sweep" {
  function_name = alicloud_fcv3_function.step["sweep"].function_name
  trigger_name  = "every-minute"
  trigger_type  = "timer"
  description   = "Quiesce: executions that were stopped or ran out of their time get a janitor"
  qualifier     = "LATEST"

  trigger_config = jsonencode({
    cronExpression = "@every 1m"
    enable         = true
    payload        = ""
  })
}

# The look for restore tests that broke off comes again by itself: another attempt
# of the same would only be in its way.
resource "alicloud_fcv3_async_invoke_config" "verify_clean" {
  function_name                  = alicloud_fcv3_function.step["verify-clean"].function_name
  max_async_retry_attempts       = 0
  max_async_event_age_in_seconds = 600
}

# No event tells of a restore test that was stopped: somebody has to look.
resource "alicloud_fcv3_trigger" "verify_clean" {
  function_name = alicloud_fcv3_function.step["verify-clean"].function_name
  trigger_name  = "tests"
  trigger_type  = "timer"
  description   = "Quiesce: what a restore test that broke off has left is taken away"
  qualifier     = "LATEST"

  trigger_config = jsonencode({
    cronExpression = "@every 10m"
    enable         = true
    payload        = jsonencode({})
  })
}
