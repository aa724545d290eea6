"""Metrics as a text file in Prometheus' exposition format, for the node exporter's textfile collector."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from caf import __version__
from caf.domain.spans import BOUNDS
from caf.store.tally import DONE, DURATION, FAILED, MADE, SUBMITTED, TO_DONE, TO_SUBMISSION

Labels = tuple[tuple[str, str], ...]
JOB = "job_name"  # Prometheus itself has a label "job"


@dataclass(frozen=True, slots=True)
class Metric:
    """One family: its samples by their labels, or for a histogram the counts by bucket and the sum, by labels."""

    name: str
    kind: str
    help: str
    samples: Sequence[tuple[Labels, float]] = ()
    histograms: Mapping[Labels, tuple[Mapping[int, int], float]] = field(default_factory=dict)


COUNTERS = {
    MADE: ("caf_jobs_made_total", "Jobs that were made."),
    SUBMITTED: ("caf_attempts_submitted_total", "Attempts that were handed to the batch system."),
    DONE: ("caf_jobs_done_total", "Times that a job became DONE."),
    FAILED: ("caf_jobs_failed_total", "Times that a job became FAILED."),
}
HISTOGRAMS = {
    DURATION: ("caf_job_duration_seconds", "How long payloads ran, of attempts after which a job was DONE or FAILED."),
    TO_SUBMISSION: ("caf_run_end_to_submission_seconds", "From a fresh run's end to its job's first submission."),
    TO_DONE: ("caf_run_end_to_done_seconds", "From a fresh run's end to its job being DONE."),
}


def text(metrics: Iterable[Metric]) -> str:
    """Give the file; families without samples are left out."""
    lines: list[str] = []
    for metric in metrics:
        samples = list(_lines(metric))
        if samples:
            lines += [f"# HELP {metric.name} {metric.help}", f"# TYPE {metric.name} {metric.kind}", *samples]
    return "\n".join(lines) + "\n"


def _lines(metric: Metric) -> Iterator[str]:
    for labels, value in metric.samples:
        yield f"{metric.name}{_labels(labels)} {_number(value)}"
    for labels, (counts, total) in metric.histograms.items():
        reached = 0
        for bucket, bound in enumerate(BOUNDS):
            reached += counts.get(bucket, 0)
            yield f"{metric.name}_bucket{_labels((*labels, ('le', _number(bound))))} {reached}"
        count = sum(counts.values())
        yield f"{metric.name}_bucket{_labels((*labels, ('le', '+Inf')))} {count}"
        yield f"{metric.name}_sum{_labels(labels)} {_number(total)}"
        yield f"{metric.name}_count{_labels(labels)} {count}"


def _labels(labels: Labels) -> str:
    inner = ",".join(f'{name}="{_escaped(value)}"' for name, value in labels)
    return f"{{{inner}}}" if inner else ""


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) and abs(value) < 1e15 else repr(float(value))


def summed(rows: Iterable[Mapping[str, Any]]) -> list[Metric]:
    """Give the counters and histograms of all that ever happened, from the sums by job."""
    counts: dict[str, dict[Labels, float]] = {}
    spans: dict[str, dict[Labels, tuple[dict[int, int], float]]] = {}
    for row in rows:
        labels = ((JOB, str(row["job"])),)
        if row["measure"] in COUNTERS:
            of = counts.setdefault(row["measure"], {})
            of[labels] = of.get(labels, 0) + row["count"]
        elif row["measure"] in HISTOGRAMS:
            known, total = spans.setdefault(row["measure"], {}).get(labels, ({}, 0.0))
            spans[row["measure"]][labels] = ({**known, row["bucket"]: row["count"]}, total + row["total"])
    found = []
    for measure, (name, told) in COUNTERS.items():
        found.append(Metric(name, "counter", told, list(counts.get(measure, {}).items())))
    for measure, (name, told) in HISTOGRAMS.items():
        found.append(Metric(name, "histogram", told, histograms=spans.get(measure, {})))
    return found


def standing(
    status: Mapping[str, Any], job_states: Sequence[tuple[str, str, int]], more: Mapping[str, float | None]
) -> list[Metric]:
    """Give the gauges of how things stand, from the status; `more` are single numbers by their key in SINGLE."""
    found = [
        Metric("caf_build_info", "gauge", "The version of caf; always 1.", [((("version", __version__),), 1)]),
        _by("caf_runs", "Runs by status.", "status", status["runs"]),
        Metric(
            "caf_jobs",
            "gauge",
            "Jobs by name and state.",
            [(((JOB, job), ("state", state)), count) for job, state, count in job_states],
        ),
        _by("caf_needs", "What needs a person, by kind.", "what", _counted(status["needs"])),
        _by("caf_needs_critical", "The critical part of it.", "what", _counted(status["needs"], critical=True)),
        _by(
            "caf_paused_timestamp_seconds",
            "Since when submitting is paused; the name is empty: all.",
            JOB,
            {one["job"] or "": one["since"] for one in status["pauses"]},
        ),
    ]
    found += _duties(status["duties"]) + _listeners(status["listeners"]) + _disks(status["disks"])
    for name, (told, key) in SINGLE.items():
        if (value := more.get(key)) is not None:
            found.append(Metric(name, "gauge", told, [((), value)]))
    return found


SINGLE = {
    "caf_slots_in_use": ("Jobs that hold a slot of the batch system.", "slots"),
    "caf_jobs_backing_off": ("Jobs that are left alone until a later time.", "backing_off"),
    "caf_jobs_in_doubt": ("Jobs of which it is not known what became of their attempt.", "in_doubt"),
    "caf_source_written_timestamp_seconds": ("When the run database's copy was last written.", "source_written"),
    "caf_source_stale_after_seconds": ("After how long without a change it counts as stale.", "source_stale"),
    "caf_credentials_expiry_timestamp_seconds": ("Until when the credentials are good.", "credentials_expiry"),
    "caf_credentials_renewal_timestamp_seconds": ("When they were renewed.", "credentials_renewal"),
    "caf_backup_timestamp_seconds": ("When the newest backup of the database was made.", "backup"),
    "caf_backup_size_bytes": ("Its size.", "backup_size"),
    "caf_report_timestamp_seconds": ("When this file was written.", "now"),
}


def _by(name: str, told: str, label: str, values: Mapping[str, float]) -> Metric:
    return Metric(name, "gauge", told, [(((label, key),), value) for key, value in values.items()])


def _counted(needs: Sequence[Mapping[str, Any]], *, critical: bool = False) -> dict[str, float]:
    found: dict[str, float] = {}
    for need in needs:
        if need["critical"] or not critical:
            found[need["what"]] = found.get(need["what"], 0) + need["count"]
    return found


def _duties(rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    return [
        _by(f"caf_duty_{name}", told, "duty", {row["name"]: row[key] for row in rows if row[key] is not None})
        for name, told, key in (
            ("success_timestamp_seconds", "End of a duty's last good round.", "succeeded"),
            ("failure_timestamp_seconds", "End of its last bad round.", "failed"),
            ("next_timestamp_seconds", "When its next round is due.", "next"),
            ("failures", "Bad rounds one after another.", "failures"),
        )
    ]


def _listeners(rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    return [
        _by(f"caf_listener_{name}", told, "listener", {row["name"]: row[key] for row in rows if row[key] is not None})
        for name, told, key in (
            ("last_good_run_timestamp_seconds", "Start of the newest run that came to a good calibration.", "start"),
            ("expect_every_seconds", "How often one is expected.", "expect_every"),
        )
    ]


def _disks(rows: Sequence[Mapping[str, Any]]) -> list[Metric]:
    found = []
    for counts in ("bytes", "files"):
        mine = [row for row in rows if row.get("counts", "bytes") == counts]
        for what, told, key in (
            ("used", "in use, by place: where the database is, and each limit that [quota] watches", "used"),
            ("size", "that count as full", "size"),
        ):
            values = {row["place"]: row[key] for row in mine}
            found.append(_by(f"caf_disk_{what}_{counts}", f"{counts.capitalize()} {told}.", "place", values))
    return found
