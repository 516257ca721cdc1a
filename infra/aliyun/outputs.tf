output "flow" {
  description = "Start it with StartExecution and a request such as {\"instanceId\":\"i-...\"}."
  value       = alicloud_fnf_flow.snapshot.name
}

output "restore_flow" {
  description = "For quiesce restore --cloud aliyun --restore-flow."
  value       = alicloud_fnf_flow.restore.name
}

output "verify_flow" {
  description = "For quiesce verify --cloud aliyun --verify-flow."
  value       = alicloud_fnf_flow.verify.name
}

output "bus" {
  description = "Where the events are."
  value       = alicloud_event_bridge_event_bus.quiesce.event_bus_name
}

output "plugin_role" {
  description = "To be attached to instances whose policy says mode plugin, and named there as ramRole."
  value       = alicloud_ram_role.plugin.role_name
}
