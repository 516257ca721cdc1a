# What each function may call. The instances that may be commanded are bound to
# the opt-in tag; what is read has no resources of its own in ECS. What is deleted
# or set back is bound to a mark that the same workflow has written before: on a
# disk or a group by its restore, on a snapshot by prune.
locals {
  describe = ["ecs:DescribeInstances", "ecs:DescribeDisks", "ecs:DescribeInstanceTypes"]
  follow   = ["ecs:DescribeCloudAssistantStatus", "ecs:DescribeInvocationResults", "ecs:StopInvocation"]
  sets     = ["ecs:DescribeSnapshotGroups", "ecs:DescribeSnapshots"]
  publish  = ["eventbridge:PutEvents"]
  measure  = ["cms:PutCustomMetric"]

  look = ["ecs:DescribeInstances", "ecs:DescribeDisks", "ecs:DescribeSnapshotGroups", "ecs:DescribeSnapshots"]

  # reads stand without a resource, commands with the tag of the instance; hosts
  # are those to an instance that carries it, and to disks; marked are bound to
  # a tag of the resource itself.
  rights = {
    precheck = {
      reads    = concat(local.describe, local.follow, ["ecs:DescribeInstanceRamRole", "ecs:DescribeSnapshots"], local.publish, local.measure)
      commands = ["ecs:RunCommand"]
      writes   = []
      objects  = { "oss:GetObject" = "helper/*" }
      hosts    = []
      marked   = {}
    }
    run-prescript = {
      reads    = concat(local.follow, local.measure)
      commands = ["ecs:RunCommand"]
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
    freeze = {
      reads    = concat(local.follow, local.measure)
      commands = ["ecs:RunCommand"]
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
    snapshot = {
      reads    = concat(local.sets, local.measure)
      commands = []
      writes   = ["ecs:CreateSnapshotGroup", "ecs:CreateSnapshot", "ecs:TagResources"]
      objects  = {}
      hosts    = []
      marked   = {}
    }
    thaw = {
      reads    = concat(local.describe, local.follow, local.sets, local.publish, local.measure)
      commands = ["ecs:RunCommand"]
      writes   = ["ecs:TagResources"]
      objects  = { "oss:GetObject" = "helper/*" }
      hosts    = []
      marked   = {}
    }
    poll-status = {
      reads    = concat(["ecs:DescribeSnapshots"], local.publish, local.measure)
      commands = []
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
    await = {
      reads    = concat(["ecs:DescribeSnapshots", "fnf:ReportTaskSucceeded"], local.measure)
      commands = []
      writes   = []
      objects  = { "oss:PutObject" = "tokens/*" }
      hosts    = []
      marked   = {}
    }
    tag = {
      reads    = concat(local.sets, local.publish, local.measure)
      commands = []
      writes   = ["ecs:TagResources"]
      objects  = {}
      hosts    = []
      marked   = {}
    }
    start-plugin = {
      reads    = concat(["ecs:DescribeCloudAssistantStatus"], local.publish, local.measure)
      commands = ["ecs:RunCommand"]
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
    watch-plugin = {
      reads    = concat(["ecs:DescribeInvocationResults"], local.sets, local.publish, local.measure)
      commands = []
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
    wake = {
      reads    = concat(["fnf:ReportTaskSucceeded"], local.measure)
      commands = []
      writes   = []
      objects  = { "oss:GetObject" = "tokens/*" }
      hosts    = []
      marked   = {}
    }
    restore-plan = {
      reads = concat(
        local.look, ["ecs:DescribeInstanceTypes", "ecs:DescribeCloudAssistantStatus", "ecs:DescribeImages", "ecs:DescribeSecurityGroups", "vpc:DescribeVSwitches"],
        local.measure,
      )
      commands = []
      writes   = []
      objects  = { "oss:GetObject" = "helper/*" }
      hosts    = []
      marked   = {}
    }
    restore-create = {
      reads    = concat(["ecs:DescribeDisks", "ecs:DescribeSnapshots"], local.measure)
      commands = []
      writes   = ["ecs:CreateDisk", "ecs:TagResources"]
      objects  = {}
      hosts    = []
      marked   = {}
    }
    restore-image = {
      reads    = concat(local.look, ["ecs:DescribeImages"], local.measure)
      commands = []
      writes   = ["ecs:CreateImage", "ecs:RunInstances", "ecs:TagResources"]
      objects  = {}
      hosts    = []
      marked   = {}
    }
    restore-move = {
      reads    = concat(local.look, local.measure)
      commands = []
      writes   = ["ecs:CreateSnapshotGroup", "ecs:CreateSnapshot", "ecs:ModifyDiskAttribute", "ecs:TagResources"]
      objects  = {}
      hosts    = ["ecs:AttachDisk", "ecs:DetachDisk"]
      marked   = { "ecs:ResetDisk" = "quiesce:replaced-by" }
    }
    restore-recover = {
      reads    = concat(local.describe, local.follow, local.sets, local.measure)
      commands = ["ecs:RunCommand"]
      writes   = ["ecs:TagResources"]
      objects  = { "oss:GetObject" = "helper/*" }
      hosts    = []
      marked   = {}
    }
    restore-power = {
      reads    = concat(["ecs:DescribeInstances", "ecs:DescribeDisks"], local.measure)
      commands = []
      writes   = []
      objects  = {}
      hosts    = ["ecs:StopInstance", "ecs:StartInstance"]
      marked   = {}
    }
    restore-settle = {
      reads    = concat(local.look, ["ecs:DescribeImages"], local.measure)
      commands = []
      writes   = ["ecs:UntagResources"]
      objects  = {}
      hosts    = ["ecs:DetachDisk"]
      marked = {
        "ecs:DeleteDisk"  = "quiesce:restore", "ecs:DeleteSnapshotGroup" = "quiesce:restore"
        "ecs:DeleteImage" = "quiesce:restore", "ecs:DeleteInstance" = "quiesce:restore"
      }
    }
    restore-report = {
      reads    = concat(local.look, ["ecs:DescribeImages"], local.publish, local.measure)
      commands = []
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
    verify-choose = {
      reads    = concat(local.describe, ["ecs:DescribeCloudAssistantStatus"], local.sets, local.measure)
      commands = []
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
    verify-mark = {
      reads    = concat(local.sets, local.measure)
      commands = []
      writes   = ["ecs:TagResources"]
      objects  = {}
      hosts    = []
      marked   = {}
    }
    verify-recover = {
      reads    = concat(local.describe, local.follow, local.sets, local.measure)
      commands = ["ecs:RunCommand"]
      writes   = ["ecs:TagResources"]
      objects  = { "oss:GetObject" = "helper/*" }
      hosts    = []
      marked   = {}
    }
    # It takes away what carries a test's mark, and no other restore's disks. A timer
    # has it look for tests that broke off, too.
    verify-clean = {
      reads    = concat(["ecs:DescribeDisks", "ecs:StopInvocation", "fnf:DescribeExecution"], local.sets, local.publish, local.measure)
      commands = []
      writes   = ["ecs:TagResources"]
      objects  = {}
      hosts    = ["ecs:DetachDisk"]
      marked   = { "ecs:DeleteDisk" = "quiesce:scratch" }
    }
    verify-report = {
      reads    = concat(["ecs:DescribeDisks"], local.sets, local.publish, local.measure)
      commands = []
      writes   = ["ecs:TagResources"]
      objects  = {}
      hosts    = []
      marked   = {}
    }
    prune = {
      reads = concat(
        local.sets, ["ecs:DescribeLockedSnapshots", "ecs:DescribeImages", "resourcesharing:ListSharedTargets"], local.publish, local.measure,
      )
      commands = []
      writes   = ["ecs:TagResources"]
      objects  = {}
      hosts    = []
      marked   = { "ecs:DeleteSnapshot" = "quiesce:deleting", "ecs:DeleteSnapshotGroup" = "quiesce:run" }
    }
    # It commands no instance: the flow that it starts calls thaw, which may.
    sweep = {
      reads    = ["fnf:ListExecutions", "fnf:StartExecution"]
      commands = []
      writes   = []
      objects  = {}
      hosts    = []
      marked   = {}
    }
  }

  # The four rights of the plug-in, for a role of the instances: it is made for
  # whoever wants mode plugin, and attached by hand.
  plugin_rights = ["ecs:DescribeSnapshot*", "ecs:CreateSnapshot*", "ecs:TagResources", "ecs:DescribeDisks"]
}

resource "alicloud_ram_role" "function" {
  for_each                    = local.rights
  role_name                   = "${var.name}-${each.key}"
  description                 = "Quiesce: the function ${each.key}"
  assume_role_policy_document = local.trust["fc"]
}

resource "alicloud_ram_policy" "function" {
  for_each    = local.rights
  policy_name = "${var.name}-${each.key}"
  policy_document = jsonencode({
    Version = "1"
    Statement = concat(
      [{ Effect = "Allow", Action = each.value.reads, Resource = "*" }],
      [{ Effect = "Allow", Action = ["log:PostLogStoreLogs"], Resource = "acs:log:${var.region}:${local.account}:project/${alicloud_log_project.functions.project_name}/*" }],
      length(each.value.writes) == 0 ? [] : [{
        Effect   = "Allow"
        Action   = each.value.writes
        Resource = [for kind in ["instance", "disk", "snapshot", "snapshotgroup"] : "acs:ecs:${var.region}:${local.account}:${kind}/*"]
      }],
      # What an image is made of, and what an instance of it is started with.
      !contains(each.value.writes, "ecs:RunInstances") ? [] : [{
        Effect = "Allow"
        Action = ["ecs:CreateImage", "ecs:RunInstances", "ecs:TagResources"]
        Resource = concat(
          [for kind in ["image", "securitygroup", "keypair"] : "acs:ecs:${var.region}:${local.account}:${kind}/*"],
          ["acs:vpc:${var.region}:${local.account}:vswitch/*"],
        )
      }],
      !contains(each.value.writes, "ecs:RunInstances") || length(var.restore_roles) == 0 ? [] : [{
        Effect   = "Allow"
        Action   = ["ram:PassRole"]
        Resource = [for name in var.restore_roles : "acs:ram::${local.account}:role/${name}"]
      }],
      !contains(each.value.writes, "ecs:UntagResources") ? [] : [{
        Effect   = "Allow"
        Action   = ["ecs:UntagResources"]
        Resource = "acs:ecs:${var.region}:${local.account}:image/*"
      }],
      length(each.value.commands) == 0 ? [] : [
        {
          Effect    = "Allow"
          Action    = each.value.commands
          Resource  = "acs:ecs:${var.region}:${local.account}:instance/*"
          Condition = { StringEquals = { "acs:ResourceTag/${var.opt_in.key}" = var.opt_in.value } }
        },
        { Effect = "Allow", Action = each.value.commands, Resource = "acs:ecs:${var.region}:${local.account}:command/*" },
      ],
      length(each.value.hosts) == 0 ? [] : [
        {
          Effect    = "Allow"
          Action    = each.value.hosts
          Resource  = "acs:ecs:${var.region}:${local.account}:instance/*"
          Condition = { StringEquals = { "acs:ResourceTag/${var.opt_in.key}" = var.opt_in.value } }
        },
        { Effect = "Allow", Action = each.value.hosts, Resource = "acs:ecs:${var.region}:${local.account}:disk/*" },
      ],
      [for action, mark in each.value.marked : {
        Effect    = "Allow"
        Action    = [action]
        Resource  = [for kind in ["disk", "snapshot", "snapshotgroup", "image", "instance"] : "acs:ecs:${var.region}:${local.account}:${kind}/*"]
        Condition = { StringLike = { "acs:ResourceTag/${mark}" = "*" } }
      }],
      [for action, prefix in each.value.objects : {
        Effect   = "Allow"
        Action   = [action]
        Resource = "acs:oss:*:${local.account}:${alicloud_oss_bucket.assets.bucket}/${prefix}"
      }],
    )
  })
}

resource "alicloud_ram_role_policy_attachment" "function" {
  for_each    = local.rights
  role_name   = alicloud_ram_role.function[each.key].role_name
  policy_name = alicloud_ram_policy.function[each.key].policy_name
  policy_type = "Custom"
}

resource "alicloud_ram_role" "plugin" {
  role_name                   = "${var.name}-plugin"
  description                 = "Quiesce: for instances whose sets the plug-in takes"
  assume_role_policy_document = local.trust["ecs"]
}

resource "alicloud_ram_policy" "plugin" {
  policy_name = "${var.name}-plugin"
  policy_document = jsonencode({
    Version   = "1"
    Statement = [{ Effect = "Allow", Action = local.plugin_rights, Resource = "*" }]
  })
}

resource "alicloud_ram_role_policy_attachment" "plugin" {
  role_name   = alicloud_ram_role.plugin.role_name
  policy_name = alicloud_ram_policy.plugin.policy_name
  policy_type = "Custom"
}

locals {
  trust = {
    for service in ["fc", "fnf", "eventbridge", "ecs"] : service => jsonencode({
      Version   = "1"
      Statement = [{ Effect = "Allow", Action = "sts:AssumeRole", Principal = { Service = ["${service}.aliyuncs.com"] } }]
    })
  }
}
