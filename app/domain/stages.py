"""How long each kind of work on a file took, on the engine's clock."""

import msgspec


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of work: from when it first began to when it last ended, and how long it took in all; seconds.

    Of a long file several windows may wait at a time: each wait counts, so that `busy_s` may be more than what lies between.
    """

    began_s: float
    ended_s: float
    busy_s: float


class Stages(msgspec.Struct, frozen=True, kw_only=True):
    """What has been done for a file so far; None is what there was no need of."""

    decode: Stage | None = None
    queue: Stage | None = None
    model: Stage | None = None  # the whole run of each batch, whoever shared it
    n_clips: int = 0
    largest_batch: int = 0  # clips in the largest batch it was in


class Ran(msgspec.Struct, frozen=True, kw_only=True):
    """How one clip went through the recogniser."""

    since_s: float  # submitted
    began_s: float
    ended_s: float
    n_clips: int  # in its batch


def extended(stage: Stage | None, *, began_s: float, ended_s: float) -> Stage:
    """Return the stage with one more piece of work."""
    busy_s = ended_s - began_s
    if stage is None:
        return Stage(began_s=began_s, ended_s=ended_s, busy_s=busy_s)
    return Stage(began_s=min(stage.began_s, began_s), ended_s=max(stage.ended_s, ended_s), busy_s=stage.busy_s + busy_s)


def with_clip(stages: Stages, ran: Ran) -> Stages:
    """Return the stages with one more clip that was recognised."""
    return msgspec.structs.replace(
        stages,
        queue=extended(stages.queue, began_s=ran.since_s, ended_s=ran.began_s),
        model=extended(stages.model, began_s=ran.began_s, ended_s=ran.ended_s),
        n_clips=stages.n_clips + 1,
        largest_batch=max(stages.largest_batch, ran.n_clips),
    )
