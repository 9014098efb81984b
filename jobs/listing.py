"""The jobs as text: what each reads, writes and is parallel over; for a place, which it runs and why not the others."""

from conf.place import Place
from jobs.job import Job


def absences(place: Place, jobs: dict[str, Job]) -> dict[str, str]:
    """Jobs that the place does not run, with the reason: their own, or that nobody makes a table they read."""
    writer = {table: name for name, job in jobs.items() for table in job.writes}
    absent: dict[str, str] = {}
    for name, job in jobs.items():
        reason = job.absent(place, place.section(job.settings, name))
        makers = [writer[table] for table in job.reads if writer.get(table) in absent]
        if reason or makers:
            absent[name] = reason or f"{makers[0]} does not run: {absent[makers[0]]}"
    return absent


def job_lines(jobs: dict[str, Job], place: Place | None) -> list[str]:
    """One line a job, in the order of the flow."""
    absent = absences(place, jobs) if place else {}
    return [_line(job) + (f"; {_standing(job, absent)}" if place else "") for job in jobs.values()]


def _line(job: Job) -> str:
    reads = ", ".join([*job.reads, *(f"[{name}]" for name in job.optional)]) or "files"
    writes = ", ".join(job.writes) or "files"
    return f"{job.name:<18} {reads} -> {writes}; parallel over {job.parallel_over}"


def _standing(job: Job, absent: dict[str, str]) -> str:
    if not job.in_flow:
        return "by name only"
    return f"not here: {absent[job.name]}" if job.name in absent else "in the flow"
