"""The pieces of a survey on the machines of a Ray cluster, through Ray Data."""

import logging
import os
import pickle
import re
import secrets
import socket
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ray
from ray.data import ActorPoolStrategy, DataContext
from ray.exceptions import GetTimeoutError, RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from .. import __version__
from ..explain.photo import ADDRESS
from .pieces import Files, Piece
from .surveyor import Surveyor, on_one_core

#: Seconds that a machine has to answer whether it can take part.
PATIENCE = 180


@contextmanager
def connected(address: str) -> Iterator[None]:
    """In a cluster: of Ray's own that this process is in already, or the one at an address.

    Raises:
        ValueError: it does not answer.
    """
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # a survey reports to nobody
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    # Ray itself tries for a minute where nobody listens.
    if found := re.fullmatch(r"([\w.-]+):(\d+)", address):
        try:
            socket.create_connection((found[1], int(found[2])), timeout=10).close()
        except (OSError, OverflowError) as error:
            raise ValueError(f"no Ray cluster answers at {address}: {error}") from error
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (RayError, ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise ValueError(
            f"no Ray cluster can be joined at {address}: {error}. `ray start --head` begins one, "
            "and `ray start --address` adds machines to it, of which this has to be one"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def check_nodes(out: Path, pieces: Sequence[Piece]) -> None:
    """That every machine of the cluster can take part.

    Raises:
        ValueError: names those that lack the package, have another version of it, or do not see
            the folder of the survey or the photos under their paths.
    """
    files = (p.paths[0] if isinstance(p, Files) else p.path for p in pieces)
    photo = next((file for file in files if not ADDRESS.match(file)), None)
    near = next(folder for folder in (out, *out.parents) if folder.is_dir())
    probe = near / f".cbam-viz-{secrets.token_hex(8)}"

    # Inside a function, so that Ray sends it as it is: a machine may have no package to look in.
    def look(probe: str, photo: str | None) -> dict:
        import os

        try:
            import cbam_viz

            version = cbam_viz.__version__
        except ImportError as error:
            version = f"none ({error})"
        return {
            "version": version,
            "folder": os.path.exists(probe),
            "photo": photo is None or os.path.exists(photo),
        }

    nodes = {n["NodeID"]: n for n in ray.nodes() if n["Alive"] and n["Resources"].get("CPU")}
    if not nodes:
        raise ValueError("no machine of the cluster has a CPU to lend")
    task = ray.remote(num_cpus=0, max_retries=1)(look)
    probe.touch()
    try:
        asked = [
            task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(name, soft=False))
            for name in nodes
        ]
        answers = ray.get([one.remote(str(probe), photo) for one in asked], timeout=PATIENCE)
    except GetTimeoutError as error:
        raise ValueError(
            f"not all {len(nodes)} machines of the cluster answered in {PATIENCE} s"
        ) from error
    except RayError as error:
        raise ValueError(f"a machine of the cluster does not work: {error}") from error
    finally:
        probe.unlink()
    wrong = []
    for node, told in zip(nodes.values(), answers, strict=True):
        name = f"{node['NodeManagerAddress']} (node {node['NodeID'][:8]})"
        if told["version"] != __version__:
            wrong.append(f"{name} has cbam-viz {told['version']}, this is {__version__}")
        elif not told["folder"]:
            wrong.append(f"{name} does not see {near}, where the rows go")
        elif not told["photo"]:
            wrong.append(f"{name} does not see the photos: there is no {photo}")
    if wrong:
        raise ValueError(
            "every machine of the cluster needs the same version of the package, and the survey's "
            "folder and the photos under the same paths: " + "; ".join(wrong)
        )


class Worker:
    """One process of the cluster, with the model, on one core."""

    def __init__(self, settings: ray.ObjectRef):
        on_one_core()
        self.surveyor = Surveyor(*pickle.loads(ray.get(settings)))

    def __call__(self, batch: dict) -> dict:
        done = [
            self.surveyor.survey(int(number), pickle.loads(piece))
            for number, piece in zip(batch["number"], batch["piece"], strict=True)
        ]
        return {"photos": [photos for photos, _ in done], "errors": [errors for _, errors in done]}


def on_cluster(
    settings: bytes, left: Sequence[tuple[int, Piece]], workers: int | None
) -> Generator[tuple[int, int]]:
    """Each piece by one of the cluster's workers, which read, look and write; the model goes to
    them from here. Yields the rows and errors of each piece as it is done, in any order.

    A piece whose machine died is done again by another: its rows are written whole or not at all.
    """
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    cores = int(ray.cluster_resources().get("CPU", 1))
    workers = min(workers or cores, len(left))
    rows = [{"number": number, "piece": pickle.dumps(piece)} for number, piece in left]
    done = ray.data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        fn_constructor_args=(ray.put(settings),),
        # It begins with whatever machines there are, and goes on with those that are left.
        compute=ActorPoolStrategy(
            min_size=1, max_size=workers, initial_size=workers, max_tasks_in_flight_per_actor=2
        ),
        batch_size=1,
        num_cpus=1,
    )
    try:
        for row in done.iter_rows():
            yield int(row["photos"]), int(row["errors"])
    except RayError as error:
        cause = error.__cause__ or error
        raise OSError(
            f"the cluster could not go on: {cause}; the same command goes on where this one was"
        ) from error
