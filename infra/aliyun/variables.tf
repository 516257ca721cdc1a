variable "region" {
  description = "Where the instances are; functions, flow and snapshots stay in it."
  type        = string
  default     = "cn-hangzhou"
}

variable "name" {
  description = "The beginning of every name that is made."
  type        = string
  default     = "quiesce"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,20}$", var.name))
    error_message = "Wants 2-21 lower-case letters, digits and dashes."
  }
}

variable "package" {
  description = "The archive of the functions, as make package-aliyun writes it."
  type        = string
  default     = "../../dist/aliyun/functions.zip"
}

variable "helpers" {
  description = "The helper's build for each architecture of the instances."
  type        = map(string)
  default = {
    AMD64 = "../../dist/amd64/quiesce-guest"
    ARM64 = "../../dist/arm64/quiesce-guest"
  }
}

variable "opt_in" {
  description = "The tag without which no instance may be commanded: that of the policies."
  type        = object({ key = string, value = string })
  default     = { key = "quiesce:opt-in", value = "true" }
}

variable "schedules" {
  description = "What is started when: a cron expression of six fields, with seconds, in UTC, and the request."
  type = map(object({
    cron    = string
    request = any
  }))
  default = {}
}

variable "retention" {
  description = "Whose sets are deleted when: a cron expression of six fields, with seconds, in UTC, and the policy with its retention; dry_run only says what would be."
  type = map(object({
    cron    = optional(string, "0 30 3 * * *")
    policy  = any
    dry_run = optional(bool, false)
  }))
  default = {}

  validation {
    condition     = alltrue([for r in var.retention : can(r.policy.retention)])
    error_message = "Each policy wants a retention: without it every set is kept."
  }
}

variable "restore_tests" {
  description = "Whose sets are tested when: a cron expression of six fields, with seconds, in UTC, and the policy with its restoreTest."
  type = map(object({
    cron   = optional(string, "0 0 5 * * *")
    policy = any
  }))
  default = {}

  validation {
    condition     = alltrue([for t in var.restore_tests : can(t.policy.name) && can(t.policy.restoreTest.instance)])
    error_message = "Each policy wants a name, by which its sets are found, and a restoreTest with the instance on which they are tested."
  }
}

variable "restore_roles" {
  description = "Names of the RAM roles that an instance of a restored image may have; empty: none."
  type        = list(string)
  default     = []
}

variable "log_days" {
  description = "How long the functions' log is kept."
  type        = number
  default     = 30
}

variable "alarm_contacts" {
  description = "Contact groups of CloudMonitor that hear of functions that fail; empty: nobody, and no alarm."
  type        = list(string)
  default     = []
}

variable "attention_url" {
  description = "An HTTPS address that is told of runs that failed or were degraded, and of instances that a person must look at; empty: none."
  type        = string
  default     = ""
}
