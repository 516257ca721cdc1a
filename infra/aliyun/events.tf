resource "alicloud_event_bridge_event_bus" "quiesce" {
  event_bus_name = var.name
  description    = "What Quiesce tells of its runs"
}

# Each member's completion ends the wait of its set.
resource "alicloud_event_bridge_rule" "completion" {
  event_bus_name = "default"
  rule_name      = "${var.name}-completion"
  description    = "A snapshot has completed: whoever waits for its set is woken"
  filter_pattern = jsonencode({ source = ["acs.ecs"], type = ["ecs:Snapshot:CreateSnapshotCompleted"] })

  targets {
    target_id           = "wake"
    type                = "acs.fc.function"
    endpoint            = "acs:fc:${var.region}:${local.account}:functions/${alicloud_fcv3_function.step["wake"].function_name}"
    push_retry_strategy = "BACKOFF_RETRY"

    param_list {
      resource_key = "serviceName"
      form         = "CONSTANT"
      value        = ""
    }
    param_list {
      resource_key = "functionName"
      form         = "CONSTANT"
      value        = alicloud_fcv3_function.step["wake"].function_name
    }
    param_list {
      resource_key = "Qualifier"
      form         = "CONSTANT"
      value        = "LATEST"
    }
    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }
  }
}

# What a person must hear of, where an address is given.
locals {
  attention = {
    attention = {
      about   = "A run failed or was degraded, or a person must look at an instance"
      pattern = { source = ["quiesce"], type = ["Consistent Snapshot Failed", "Consistent Snapshot Degraded", "Thaw Failed"] }
    }
    tests = {
      about   = "A restore test ended with less than a success"
      pattern = { source = ["quiesce"], type = ["Restore Test Completed"], data = { verdict = ["FAILED", "TIMED_OUT", "NOT_TESTED"] } }
    }
  }
}

resource "alicloud_event_bridge_rule" "attention" {
  for_each       = { for name, rule in local.attention : name => rule if var.attention_url != "" }
  event_bus_name = alicloud_event_bridge_event_bus.quiesce.event_bus_name
  rule_name      = "${var.name}-${each.key}"
  description    = each.value.about
  filter_pattern = jsonencode(each.value.pattern)

  targets {
    target_id           = each.key
    type                = "https"
    endpoint            = var.attention_url
    push_retry_strategy = "EXPONENTIAL_DECAY_RETRY"

    param_list {
      resource_key = "url"
      form         = "CONSTANT"
      value        = var.attention_url
    }
    param_list {
      resource_key = "Body"
      form         = "ORIGINAL"
    }
    param_list {
      resource_key = "Network"
      form         = "CONSTANT"
      value        = "PublicNetwork"
    }
  }
}
