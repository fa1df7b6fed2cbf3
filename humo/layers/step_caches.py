"""Caches that leave out most of the network at steps which change little: sooner, and no longer the exact result.

Both are diffusers' own. *First block* runs the first block of every pass and, if its change since the last step is
below a share, takes the other blocks' change from then. *Taylor* runs the network at every n-th step and continues
its output in a straight line in between. A cache is kept for each branch of guidance and each window of a long video
apart (`humo.sampling`), for one branch's change is not another's. Keys and values are computed anew then, for most
passes ask for none. Named in words, for the command line and `humo.load`: `first_block`, `taylor`, `taylor:4`.

Not offered is MagCache: it needs ratios measured on each checkpoint beforehand, and the published ones do not fit here.
All of this file is ours.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import FirstBlockCacheConfig, ModelMixin, TaylorSeerCacheConfig

FIRST_BLOCK, TAYLOR = "first_block", "taylor"
DEFAULTS = {FIRST_BLOCK: 0.1, TAYLOR: 3}
"""Share of change below which blocks are left out; steps from one run of the network to the next."""
WARM_UP = 3
"""Steps that Taylor runs whole before it leaves any out: the layout is drawn there."""

CacheConfig = FirstBlockCacheConfig | TaylorSeerCacheConfig


def read_cache(name: str) -> CacheConfig:
    """The cache that a name like "first_block:0.1" means.

    Raises:
        ValueError: if there is no such cache, or its number is out of range.
    """
    kind, _, number = name.partition(":")
    if kind not in DEFAULTS:
        raise ValueError(
            f"The cache {name!r} is unknown: use {FIRST_BLOCK} or {TAYLOR}, with a number as in {TAYLOR}:3."
        )
    try:
        value = type(DEFAULTS[kind])(number) if number else DEFAULTS[kind]
    except ValueError:
        value = -1
    if kind == FIRST_BLOCK:
        if not 0 < value <= 1:
            raise ValueError(f"The cache {name!r} has no share of change above 0, up to 1: use for example {kind}:0.1.")
        return FirstBlockCacheConfig(threshold=value)
    if not 2 <= value <= 10:
        raise ValueError(f"The cache {name!r} has no whole number of steps from 2 to 10: use for example {kind}:3.")
    return TaylorSeerCacheConfig(
        cache_interval=int(value),
        disable_cache_before_step=WARM_UP,
        max_order=1,
        taylor_factors_dtype=torch.float32,
        use_lite_mode=True,
    )


def describe_cache(transformer: ModelMixin) -> str | None:
    """The name of the cache that is on, as `read_cache` reads it; None if there is none of these."""
    config = transformer._cache_config if transformer.is_cache_enabled else None
    if isinstance(config, FirstBlockCacheConfig):
        return f"{FIRST_BLOCK}:{config.threshold:g}"
    return f"{TAYLOR}:{config.cache_interval}" if isinstance(config, TaylorSeerCacheConfig) else None


def use_cache(transformer: ModelMixin, name: str | None) -> None:
    """Turn a cache on in place of any other, or off.

    Args:
        transformer: of a pipeline.
        name: see `read_cache`; None turns it off.

    Raises:
        ValueError: as `read_cache` does.
    """
    config = None if name is None else read_cache(name)
    if transformer.is_cache_enabled:
        transformer.disable_cache()
    if config is not None:
        transformer.enable_cache(config)


@contextmanager
def cached(transformer: ModelMixin, name: str | None) -> Iterator[None]:
    """Use another cache, or none, for a while; between generations, for a cache forgets what it held."""
    before = describe_cache(transformer)
    use_cache(transformer, name)
    try:
        yield
    finally:
        use_cache(transformer, before)
