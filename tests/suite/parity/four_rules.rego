# The four rules that flyball started from, in Rego v0.
package flyball.parity

default action = {"type": "NO_ACTION", "reason": "No policy matched for action"}

action = {"type": "SCALE_UP", "target": input.service_name, "replicas_factor": 1.5} {
	input.predicted_p99_latency > 200
	input.current_cpu_utilization > 60
	input.forecasted_requests_increase_percent > 20
	input.can_scale_up
}

action = {"type": "SHIFT_TRAFFIC", "target_region": "REGION_B", "service": input.service_name} {
	input.predicted_p99_latency_region_A > 250
	input.current_p99_latency_region_A > 200
	input.region_B_capacity_available == true
	not input.maintenance_mode_region_A
	not input.global_emergency_mode
}

action = {"type": "SCALE_DOWN", "target": input.service_name, "replicas_factor": 0.7} {
	input.predicted_requests_decrease_percent < -15
	input.current_cpu_utilization < 20
	input.cost_optimization_enabled == true
	not input.minimum_replicas_reached
}

action = {"type": "APPLY_THROTTLING", "target": input.service_name, "rate_limit_percent": 0.8} {
	input.predicted_error_rate > 5
	input.current_requests_per_second > 1000
	input.throttling_strategy_available
}
