"""A run: everything that the addresses come to, into an output folder, from wherever the last run got to."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing

from rich.console import Console

from policy_topics.bundle import load_bundle
from serve.archive.export import export
from serve.archive.inputs import Source, list_sources
from serve.archive.job import Form, Job, Where
from serve.archive.ledger import Model
from serve.archive.local_engine import score_locally
from serve.archive.output import Output
from serve.archive.progress import RunProgress, Work
from serve.archive.reading import Finished
from serve.archive.scoring import Result, Scored
from serve.archive.summary import Summary, summarise, write_summary


def run(job: Job, console: Console) -> Summary:
    """Score, and write the output with its summary.

    Raises:
        InputError: an address that comes to nothing.
        OutputError: an output folder that must not be written to.
        BundleError, EngineError: the model cannot be run.
    """
    work = _listed(job)
    bundle = load_bundle(job.bundle)
    model = Model(bundle.name, bundle.version, bundle.taxonomy.version)
    with Output(job.out, model, job.settings.archive) as output:
        with RunProgress(job.out, model, work, console) as progress, closing(_results(job, output)) as results:
            for result in results:
                if isinstance(result, Scored):
                    output.add(result)
                elif isinstance(result, Finished):
                    output.finish(result)
                progress.follow(result)
            output.commit()
            output.ledger.note_run(progress.seconds, progress.paragraphs)
            for form in Form:
                if form in job.forms or (job.out / form).exists():  # what an earlier run wrote would not fit the parts
                    export(output.files(), job.out / form, form)
            summary = summarise(output.ledger, model, bundle.taxonomy, progress)
            write_summary(summary, output.ledger, bundle.taxonomy, job.out)
        return summary


def _listed(job: Job) -> Work:
    files = size = 0
    for source in list_sources(job.addresses, job.out):
        files += 1
        size += source.size
    return Work(files, size)


def _results(job: Job, output: Output) -> Generator[Result]:
    sources: Iterator[Source] = list_sources(job.addresses, job.out)
    if job.where is Where.local:
        return score_locally(sources, output.admit, job.bundle, job.settings)
    from serve.archive.ray_engine import score_on_ray

    return score_on_ray(sources, output, job.bundle, job.settings, job.ray_address)
