"""The row Process: the processes themselves."""

from __future__ import annotations

from helm.dashboards.model import Line, Panel, down_to, single, up_to
from helm.dashboards.queries import chosen, of, process, quantile, total

SAME = "on (namespace, job, instance)"  # one process

LINES = (
    Line(
        7,
        (
            Panel(
                "CPU",
                "timeseries",
                "percentunit",
                "Of one core; a bridge uses little more than one.",
                single(process("process_cpu_seconds_total", "rate({}[$__rate_interval])"), "{{instance}}"),
                up_to(0.8, 1),
            ),
            Panel(
                "Memory",
                "timeseries",
                "bytes",
                "Resident memory; it does not grow with what waits.",
                single(process("process_resident_memory_bytes"), "{{instance}}"),
            ),
            Panel(
                "Event loop lag",
                "timeseries",
                "s",
                "How late the event loop is. From 30 seconds on (health.stuck_seconds) the liveness probe fails.",
                single(quantile(0.99, "event_loop_lag_seconds", "instance"), "{{instance}} p99"),
                up_to(0.5, 5),
                runbook="WorkflowBridgeDown",
            ),
            Panel(
                "Open files",
                "timeseries",
                "percentunit",
                "Open file descriptors of those allowed.",
                single(process("process_open_fds", f"{{}} / {chosen('process_max_fds')}"), "{{instance}}"),
                up_to(0.7, 0.9),
            ),
        ),
    ),
    Line(
        7,
        (
            Panel(
                "Garbage collections",
                "timeseries",
                "ops",
                "Python's, of all generations.",
                single(
                    process("python_gc_collections_total", "sum without (generation) (rate({}[$__rate_interval]))"),
                    "{{instance}}",
                ),
            ),
            Panel(
                "Running since",
                "timeseries",
                "s",
                "Age of the process. A saw is a process that ends again and again.",
                single(process("process_start_time_seconds", "time() - {}"), "{{instance}}"),
                runbook="WorkflowBridgeRestarts",
            ),
            Panel(
                "Reloads of the configuration",
                "timeseries",
                "short",
                "The files were read again: taken over (loaded), unchanged, or refused (failed).",
                single(
                    f"sum by (outcome) (increase({of('config_reloads_total')}[$__rate_interval]))",
                    "{{outcome}}",
                ),
                runbook="WorkflowBridgeConfigRefused",
            ),
            Panel(
                "Configuration in use",
                "state-timeline",
                "none",
                "Whether what the files said when they were last read is in use.",
                single(f"min by (instance) ({of('config_last_reload_successful')})", "{{instance}}"),
                down_to(1, 1),
                words=((0, "an older one", "red"), (1, "as in the files", "green")),
                runbook="WorkflowBridgeConfigRefused",
            ),
        ),
    ),
    Line(
        6,
        (
            Panel(
                "Useful replicas",
                "timeseries",
                "none",
                "How many bridges would have something to do, by all of them together: what an autoscaler goes by.",
                single(total(of("useful_replicas")), "useful replicas"),
            ),
            Panel(
                "Version and configuration of each bridge",
                "table",
                "none",
                "The hash names a configuration without its secrets: bridges with the same one run the same rules.",
                single(
                    "max by (namespace, instance, version, hash) ("
                    f"{of('config_generation')} * {SAME} group_left (version) {of('build_info')}"
                    f" * {SAME} group_left (hash) {of('config_info')})"
                ),
                columns=(
                    ("namespace", "Namespace"),
                    ("instance", "Instance"),
                    ("version", "Version"),
                    ("hash", "Configuration"),
                    ("Value", "Generation"),
                ),
            ),
            Panel(
                "Configuration last taken over",
                "table",
                "s",
                "How long ago the files last said something that is in use.",
                single(f"max by (instance) (time() - {of('config_last_reload_success_timestamp_seconds')})"),
                columns=(("instance", "Instance"), ("Value", "Ago")),
                runbook="WorkflowBridgeConfigRefused",
            ),
        ),
    ),
)
