# A step that fails tells the flow, which acts on it: the alarm is for functions
# that fail often, which is what a broken deployment looks like. Runs that failed
# are told of by the rule attention; an alarm on Quiesce's own metrics has no
# resource in Terraform and is made by command, as docs/aliyun.md has it.
resource "alicloud_cms_alarm" "failing" {
  for_each           = length(var.alarm_contacts) == 0 ? {} : local.timeouts
  name               = "${var.name}-${each.key}-failing"
  project            = "acs_fc"
  metric             = "FunctionFunctionErrors"
  contact_groups     = var.alarm_contacts
  period             = 300
  silence_time       = 3600
  metric_dimensions  = jsonencode([{ functionName = alicloud_fcv3_function.step[each.key].function_name }])
  effective_interval = "00:00-23:59"

  escalations_critical {
    statistics          = "Sum"
    comparison_operator = ">="
    threshold           = "10"
    times               = 1
  }
}

# A sweep that fails is made good by the next minute's. One that fails again and
# again leaves stopped executions to the deadlines on their instances, and nobody
# hears of them: three times in five minutes is told.
resource "alicloud_cms_alarm" "unswept" {
  count              = length(var.alarm_contacts) == 0 ? 0 : 1
  name               = "${var.name}-unswept"
  project            = "acs_fc"
  metric             = "FunctionFunctionErrors"
  contact_groups     = var.alarm_contacts
  period             = 300
  silence_time       = 3600
  metric_dimensions  = jsonencode([{ functionName = alicloud_fcv3_function.step["sweep"].function_name }])
  effective_interval = "00:00-23:59"

  escalations_critical {
    statistics          = "Sum"
    comparison_operator = ">="
    threshold           = "3"
    times               = 1
  }
}
