# Quiesce on Alibaba Cloud: the functions, the flow, its schedules, the bus and
# its rules, a role for each function, the log and the alarms. Apply it after
# `make package-aliyun`; what it does not do stands in docs/aliyun.md.
terraform {
  required_version = ">= 1.5"

  required_providers {
    alicloud = {
      source  = "aliyun/alicloud"
      version = ">= 1.230.0, < 2.0.0"
    }
  }
}

provider "alicloud" {
  region = var.region
}

data "alicloud_account" "current" {}

locals {
  account = data.alicloud_account.current.id
}
