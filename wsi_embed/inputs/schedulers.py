"""Detection of the task of a scheduler's array job, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping

from wsi_embed.errors import UsageError

# Our variable: number of shards, if the scheduler does not set it or sets another number.
SHARD_COUNT = "WSI_EMBED_SHARD_COUNT"

SLURM, KUBERNETES, AWS_BATCH = "SLURM_ARRAY_TASK_ID", "JOB_COMPLETION_INDEX", "AWS_BATCH_JOB_ARRAY_INDEX"
AWS_BATCH_SIZE = "AWS_BATCH_JOB_ARRAY_SIZE"


def array_task(environ: Mapping[str, str]) -> tuple[int, int]:
    """Return index, from 0, and size of the array that this process is a task of.

    Slurm (https://slurm.schedmd.com/job_array.html) sets both, and may count from any number in any step.
    AWS Batch (https://docs.aws.amazon.com/batch/latest/userguide/job_env_vars.html) sets both. Kubernetes
    (https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode) sets only the index.
    If WSI_EMBED_SHARD_COUNT is set, it is the size, and the scheduler's number is the index.

    Raises:
        UsageError: If there is no array job, or more than one; its size is unknown; or it has gaps.
    """
    found = [name for name in (SLURM, KUBERNETES, AWS_BATCH) if name in environ]
    if len(found) != 1:
        what = f"{' and '.join(found)} are set" if found else "no array job of Slurm, Kubernetes or AWS Batch"
        raise UsageError(what, where="`shard='auto'`", remedy="give `shard='i/n'`")
    if SHARD_COUNT in environ:
        return _checked(_number(environ, found[0]), _number(environ, SHARD_COUNT), found[0])
    if found == [SLURM]:
        return _slurm(environ)
    if found == [KUBERNETES]:
        raise UsageError(
            "Kubernetes does not say how many completions there are",
            where="`shard='auto'`",
            remedy=f"set {SHARD_COUNT}",
        )
    return _checked(_number(environ, AWS_BATCH), _number(environ, AWS_BATCH_SIZE), AWS_BATCH)


def _slurm(environ: Mapping[str, str]) -> tuple[int, int]:
    here, first, last, step, count = (
        _number(environ, f"SLURM_ARRAY_TASK_{name}") for name in ("ID", "MIN", "MAX", "STEP", "COUNT")
    )
    if step < 1 or last - first != step * (count - 1) or here not in range(first, last + 1, step):
        raise UsageError(
            "a Slurm array with gaps does not say which share a task has",
            where="`shard='auto'`",
            remedy=f"submit a range (--array=0-9), or set {SHARD_COUNT}: then the task's number is the "
            "share's, from 0",
        )
    return (here - first) // step, count


def _checked(index: int, count: int, name: str) -> tuple[int, int]:
    if index >= count:
        raise UsageError(
            f"{name} is {index}, but {count} shares count from 0 to {count - 1}", where="`shard='auto'`"
        )
    return index, count


def _number(environ: Mapping[str, str], name: str) -> int:
    text = environ.get(name, "")
    if not text.isdecimal():
        found = repr(text) if name in environ else "not set"
        raise UsageError(
            f"{name} is {found}, a whole number is expected",
            where="`shard='auto'`",
            remedy="give `shard='i/n'`",
        )
    return int(text)
