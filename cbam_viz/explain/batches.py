"""Batches of inputs that share a forward pass."""

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def by_shape(
    inputs: Iterable[T], shape: Callable[[T], Hashable], size: int, waiting: int | None = None
) -> Iterator[list[T]]:
    """Inputs in batches of one shape each, a batch as soon as it is full.

    Args:
        inputs: in any order.
        shape: of one of them.
        size: most inputs in a batch.
        waiting: most inputs that wait for others of their shape; the fullest batch then goes as it
            is. As many as there are if not given.

    Yields:
        Batches of 1 to ``size`` inputs. Of one shape, they keep their order.
    """
    found: dict[Hashable, list[T]] = {}
    held = 0
    for one in inputs:
        key = shape(one)
        batch = found.setdefault(key, [])
        batch.append(one)
        held += 1
        if len(batch) < size and waiting is not None and held >= waiting:
            key = max(found, key=lambda k: len(found[k]))
        elif len(batch) < size:
            continue
        batch = found.pop(key)
        held -= len(batch)
        yield batch
    yield from found.values()
