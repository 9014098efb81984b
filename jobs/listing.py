"""The jobs as text: what each reads, writes and is parallel over; for a place, which it runs and why not the others."""

from conf.place import Place
from jobs.job import Job


def job_lines(jobs: dict[str, Job], place: Place | None) -> list[str]:
    """One line a job, in the order of the flow."""
    return [_line(job, place) for job in jobs.values()]


def _line(job: Job, place: Place | None) -> str:
    reads = ", ".join([*job.reads, *(f"[{name}]" for name in job.optional)]) or "files"
    writes = ", ".join(job.writes) or "files"
    text = f"{job.name:<18} {reads} -> {writes}; parallel over {job.parallel_over}"
    return f"{text}; {_standing(job, place)}" if place else text


def _standing(job: Job, place: Place) -> str:
    if not job.in_flow:
        return "by name only"
    reason = job.absent(place, place.section(job.settings, job.name))
    return f"not here: {reason}" if reason else "in the flow"
