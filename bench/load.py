"""Loads an encoder and a decoder, and prints what became of it.

Calls are made by a schedule (open loop): a late answer delays no later call, and latency counts
from the intended start. Caches are off unless --caches says otherwise: every picture is computed.
Run it on a machine that does nothing else: ``make load``, or ``python bench/load.py``.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from open_loop import Call, Rates, Record, closed_loop, open_loop
from system import HUMAN, MACHINE, System, decode, encode, picture, running
from ugicm.v1 import decoder_pb2, types_pb2
from ugicm_client.errors import ProcessError

# Pictures are drawn from so many, each with a stored frame of its own.
_NUM_PICTURES = 32
_CALLERS = 32
# A latency is recovered, and others' is spared, when it is at most so many times the earlier one.
_RECOVERED = 1.5
_SPARED = 1.5
# How soon after an overload it has to be recovered.
_RECOVERY_SECONDS = 10.0
# What memory may grow by under load: what is queued, and what allocators keep.
_MAX_GROWTH = 512 * 2**20
# Files that a service needs beside its connections.
_OTHER_FILES = 256
_WINDOW_SECONDS = 1.0
_MIB = 2**20
# As the codec promises of pixels that were synthesised in another batch.
_NEAR = ["every byte", "within 1 levels", "within 2 levels"]


def main() -> int:
    """Run the mode that the arguments choose; 0 where its targets were met."""
    options = _options()
    console = Console(width=max(110, Console().width))
    try:
        return asyncio.run(options.mode(options, console))
    except ProcessError as error:
        console.print(f"[red]{error}")
        return 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="load", description=__doc__.splitlines()[0])
    parser.set_defaults(mode=_steady)
    modes = parser.add_mutually_exclusive_group()

    def mode(flag: str, run: Callable[..., Awaitable[int]], text: str) -> None:
        modes.add_argument(flag, dest="mode", action="store_const", const=run, help=text)

    modes.add_argument(
        "--overload", type=float, metavar="TIMES", help="so many times the measured capacity"
    )
    mode("--compare", _compare, "batching and pipelining against one call at a time")
    mode("--hostile", _hostile, "what hostile clients do to the others' latency")
    mode("--slow-reader", _slow_reader, "a reader that stops for a minute while cameras stream")
    parser.add_argument("--cameras", type=int, default=4, help="that encode (default: 4)")
    parser.add_argument("--operators", type=int, default=2, help="that decode human views (2)")
    parser.add_argument("--pipelines", type=int, default=2, help="that decode machine views (2)")
    parser.add_argument("--camera-rate", type=float, default=2.0, help="a second, each (2)")
    parser.add_argument("--operator-rate", type=float, default=1.0, help="a second, each (1)")
    parser.add_argument("--pipeline-rate", type=float, default=2.0, help="a second, each (2)")
    parser.add_argument("--size", type=_size, default=(128, 128), help="WIDTHxHEIGHT (128x128)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of steady load (60)")
    parser.add_argument("--minutes", type=float, default=5.0, help="of overload (5)")
    parser.add_argument("--stall-seconds", type=float, default=60.0, help="of the reader (60)")
    parser.add_argument("--idle", type=int, default=3000, help="hostile connections (3000)")
    parser.add_argument("--rounds", type=int, default=5, help="of --compare, in turns (5)")
    parser.add_argument("--calls", type=int, default=48, help="in each round of --compare (48)")
    parser.add_argument(
        "--processes", type=int, default=2, help="that the encoder of --compare codes in (2)"
    )
    parser.add_argument("--model", default="default", help="name or path (default)")
    parser.add_argument("--caches", choices=["off", "on"], default="off", help="of the decoder")
    parser.add_argument(
        "--decoder", nargs="*", default=[], metavar="KEY=VALUE", help="further settings"
    )
    options = parser.parse_args()
    if options.overload is not None:
        options.mode = _overload
    return options


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return height, width


@asynccontextmanager
async def _system(
    options: argparse.Namespace, *, encoder: Sequence[str] = ()
) -> AsyncIterator[System]:
    flags = [f"--{setting}" for setting in options.decoder]
    if options.caches == "off":
        flags += ["--views-cache-bytes=0", "--latents-cache-bytes=0"]
    with tempfile.TemporaryDirectory() as folder:
        async with running(
            Path(folder), model=options.model, decoder=flags, encoder=encoder
        ) as system:
            yield system


async def _calls(system: System, size: tuple[int, int]) -> dict[str, Call]:
    """Store the frames that are decoded, and return what each peer does."""
    pictures = [picture(*size, seed) for seed in range(_NUM_PICTURES)]
    for pixels in pictures:
        key = system.next_key()
        await encode(system, pixels, key)
        system.keys.append(key)
    turns = {name: itertools.count() for name in ("Encode", "human", "machine")}

    async def encode_next() -> dict[str, float]:
        pixels = pictures[next(turns["Encode"]) % _NUM_PICTURES]
        spent = (await encode(system, pixels, system.next_key())).statistics
        return {
            "queue": spent.queue_seconds,
            "picture": spent.picture_seconds,
            "encode": spent.encode_seconds,
            "delivery": spent.delivery_seconds,
        }

    def decode_next(peer, view, name):
        async def call() -> dict[str, float]:
            key = system.keys[next(turns[name]) % _NUM_PICTURES]
            _, spent = await decode(system, peer, view, key=key)
            return {
                "queue": spent.queue_seconds,
                "latents": spent.latents_seconds,
                "synthesis": spent.synthesis_seconds,
                "picture": spent.picture_seconds,
            }

        return call

    return {
        "Encode": encode_next,
        "Decode human": decode_next("operator", HUMAN, "human"),
        "Decode machine": decode_next("pipeline", MACHINE, "machine"),
    }


def _rates(options: argparse.Namespace) -> Rates:
    return {
        "Encode": options.cameras * options.camera_rate,
        "Decode human": options.operators * options.operator_rate,
        "Decode machine": options.pipelines * options.pipeline_rate,
    }


async def _steady(options: argparse.Namespace, console: Console) -> int:
    async with _system(options) as system:
        calls = await _calls(system, options.size)
        before = system.memory()
        record = await open_loop(calls, _rates(options), options.seconds)
        _print(console, record, _rates(options), "steady")
        after = system.memory()
        _print_memory(console, before, after)
    errors = sum(record.errors.values())
    return _verdict(console, {f"{errors} calls failed, allowed none": not errors})


async def _overload(options: argparse.Namespace, console: Console) -> int:
    async with _system(options) as system:
        calls, rates = await _calls(system, options.size), _rates(options)
        full = await closed_loop(calls, rates, options.seconds, callers=_CALLERS)
        capacity = full.throughput
        of_all = sum(rates.values())
        shares = {name: rate / of_all for name, rate in rates.items()}
        easy = {name: 0.5 * capacity * share for name, share in shares.items()}
        hard = {name: options.overload * capacity * share for name, share in shares.items()}
        console.print(f"capacity: {capacity:.1f} calls/s, by {_CALLERS} callers without a pause")
        earlier = await open_loop(calls, easy, options.seconds)
        before = system.memory()
        _print(console, earlier, easy, "half the capacity, before")
        record = await open_loop(calls, hard, 60 * options.minutes, seed=1)
        _print(console, record, hard, f"{options.overload:g} times the capacity")
        later = await open_loop(calls, easy, options.seconds, seed=2)
        _print(console, later, easy, "half the capacity, after")
        after = system.memory()
        _print_memory(console, before, after)
    others = {code for _, code in record.errors} - {"RESOURCE_EXHAUSTED"}
    recovery = _recovery_seconds(earlier, later)
    return _verdict(
        console,
        {
            f"errors other than RESOURCE_EXHAUSTED: {', '.join(others) or 'none'}": not others,
            f"memory grew by {_growth(before, after) / _MIB:.0f} MiB at most, "
            f"allowed {_MAX_GROWTH / _MIB:.0f}": _growth(before, after) <= _MAX_GROWTH,
            f"latency was the earlier one {recovery:.0f} s after the overload's last answer, "
            f"allowed {_RECOVERY_SECONDS:.0f}": recovery <= _RECOVERY_SECONDS,
        },
    )


def _recovery_seconds(earlier: Record, later: Record) -> float:
    """Return when the median latency of a window is, for every call, near the earlier one."""
    last = int(later.duration / _WINDOW_SECONDS)
    for window in range(last):
        first = window * _WINDOW_SECONDS

        def is_near(name: str, first: float = first) -> bool:
            inside = [
                seconds
                for seconds, ended in zip(later.seconds[name], later.ended[name], strict=True)
                if first <= ended < first + _WINDOW_SECONDS
            ]
            return not inside or statistics.median(inside) <= _RECOVERED * earlier.percentile(
                name, 95
            )

        if all(is_near(name) for name in earlier.seconds):
            return first
    return float("inf")


async def _hostile(options: argparse.Namespace, console: Console) -> int:
    idle = _connections(options.idle)
    async with _system(options) as system:
        calls, rates = await _calls(system, options.size), _rates(options)
        # All have one schedule: by chance calls come together in one, and wait for each other.
        alone = await open_loop(calls, rates, options.seconds)
        _print(console, alone, rates, "alone")
        before = system.memory()
        async with AsyncExitStack() as stack:
            for address in (system.encoder.address, system.decoder.address):
                host, port = address.rsplit(":", 1)
                for _ in range(idle // 2):
                    _, writer = await asyncio.open_connection(host, int(port))
                    stack.callback(writer.transport.abort)
            nonsense = asyncio.create_task(_send_nonsense(system))
            stack.callback(nonsense.cancel)
            beside = await open_loop(calls, rates, options.seconds)
        _print(console, beside, rates, f"beside {idle} idle connections and nonsense")
        async with _flood(system):
            flooded = await open_loop(calls, rates, options.seconds)
        _print(console, flooded, rates, "beside one client that floods the decoder")
        _print_memory(console, before, system.memory())
    table = Table("others' p99 to what it is alone", "idle and nonsense", "flood")
    worst = [0.0, 0.0]
    for name in calls:
        ratios = [
            one.percentile(name, 99) / alone.percentile(name, 99) for one in (beside, flooded)
        ]
        worst = [max(pair) for pair in zip(worst, ratios, strict=True)]
        table.add_row(name, *(f"{ratio:.2f}" for ratio in ratios))
    console.print(table)
    failed = sum(beside.errors.values()) + sum(flooded.errors.values())
    return _verdict(
        console,
        {
            f"others' p99 beside {idle} idle connections and nonsense: {worst[0]:.2f} times, "
            f"allowed {_SPARED:g}": worst[0] <= _SPARED,
            f"others' p99 beside a flood: {worst[1]:.2f} times, allowed {_SPARED:g}": worst[1]
            <= _SPARED,
            f"{failed} of the others' calls failed, allowed none": not failed,
        },
    )


def _connections(wanted: int) -> int:
    """Let this process open so many, and return how many the system lets it open."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return wanted if most == resource.RLIM_INFINITY else min(wanted, most - _OTHER_FILES)


async def _send_nonsense(system: System) -> None:
    """Send what is no stream, one after the other, and count on being refused."""
    record = Record()
    for number in itertools.count():

        async def call(number: int = number) -> dict[str, float]:
            garbage = np.random.default_rng(number).bytes(10_000)
            await decode(system, "flood", HUMAN, stream=garbage)
            return {}

        await record.make("nonsense", call, 0.0, 0.0)
        await asyncio.sleep(0.01)


@asynccontextmanager
async def _flood(system: System) -> AsyncIterator[None]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(Path(__file__).with_name("flood.py"))),
        *(system.decoder.address, str(_NUM_PICTURES)),
        env={**os.environ, "UGICM_TOKEN": system.flood_token},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        # Its start takes a processor too, which is no matter of the services.
        await process.stdout.readline()
        yield
    finally:
        process.kill()
        await process.wait()


async def _slow_reader(options: argparse.Namespace, console: Console) -> int:
    async with _system(options) as system:
        calls, rates = await _calls(system, options.size), _rates(options)
        large = (await encode(system, picture(1024, 1024, 0), None)).stream
        # What computing such a picture takes stays with the process.
        await decode(system, "operator", HUMAN, stream=large)
        before = system.memory()
        request = decoder_pb2.DecodeRequest(
            stream=large, views=[HUMAN] * 16, format=types_pb2.PIXEL_FORMAT_RGB
        )
        answer = aiter(system.decoders["flood"].Decode(request))
        await anext(answer)
        record = await open_loop(calls, rates, options.stall_seconds)
        stalled = system.memory()
        num_parts = 1 + len([part async for part in answer])
        _print(
            console, record, rates, f"beside a reader that stopped for {options.stall_seconds:g} s"
        )
        _print_memory(console, before, stalled)
    # One view of a megapixel takes three parts of its pixels, and one before them.
    wanted = 1 + 16 * (1 + 3) + 1
    errors, growth = sum(record.errors.values()), _growth(before, stalled)
    return _verdict(
        console,
        {
            f"{errors} of the others' calls failed, allowed none": not errors,
            f"memory grew by {growth / _MIB:.0f} MiB at most, "
            f"allowed {_MAX_GROWTH / _MIB:.0f}": growth <= _MAX_GROWTH,
            f"then it read {num_parts} parts of its answer, of {wanted}": num_parts == wanted,
        },
    )


async def _compare(options: argparse.Namespace, console: Console) -> int:
    table = Table("size", "call", "one at a time", "together", "ratio", "target", "the same")
    verdicts = {}
    async with _system(options, encoder=[f"--processes={options.processes}"]) as system:
        for size, target in (((128, 128), 1.5), ((512, 768), 1.1)):
            pictures = [picture(*size, seed) for seed in range(_NUM_PICTURES)]
            streams = [(await encode(system, pixels, None)).stream for pixels in pictures]
            console.print(f"{size[1]}x{size[0]}: {options.rounds} rounds of {options.calls} calls")
            works = {
                "Encode": [_encoding(system, pixels) for pixels in pictures],
                "Decode": [_decoding(system, stream) for stream in streams],
            }
            for name, work in works.items():
                chosen = [work[turn % len(work)] for turn in range(options.calls)]
                alone, together, outputs = await _in_turns(chosen, options.rounds)
                same = _agreement(*outputs)
                # A stream has one coding; a view's rounding may depend on the batch.
                allowed = ["every byte"] if name == "Encode" else _NEAR
                ratio = statistics.median(a / b for a, b in zip(alone, together, strict=True))
                # At once: on a busy machine the larger size may take minutes.
                console.print(f"  {name}: {ratio:.2f} times as fast together")
                what = f"{name} at {size[1]}x{size[0]}"
                verdicts[f"{what}: {ratio:.2f} times as fast, wanted {target:g}"] = ratio >= target
                verdicts[f"{what}: what it comes to is the same: {same}"] = same in allowed
                table.add_row(
                    f"{size[1]}x{size[0]}",
                    name,
                    *(
                        f"{len(chosen) / statistics.median(each):.1f}/s"
                        for each in (alone, together)
                    ),
                    f"{ratio:.2f}",
                    f"{target:g}",
                    same,
                )
    console.print(table)
    return _verdict(console, verdicts)


async def _in_turns(
    work: Sequence[Callable[[], Awaitable[bytes]]], rounds: int
) -> tuple[list[float], list[float], tuple[list[bytes], list[bytes]]]:
    """Return the seconds of each round of either way, and what either returned last."""
    alone, together = [], []
    for _ in range(rounds):
        started = time.perf_counter()
        one_by_one = [await call() for call in work]
        alone.append(time.perf_counter() - started)
        started = time.perf_counter()
        at_once = await asyncio.gather(*(call() for call in work))
        together.append(time.perf_counter() - started)
    return alone, together, (one_by_one, list(at_once))


def _encoding(system: System, pixels: np.ndarray) -> Callable[[], Awaitable[bytes]]:
    async def call() -> bytes:
        return (await encode(system, pixels, None)).stream

    return call


def _decoding(system: System, stream: bytes) -> Callable[[], Awaitable[bytes]]:
    async def call() -> bytes:
        return (await decode(system, "operator", HUMAN, stream=stream))[0]

    return call


def _agreement(first: list[bytes], second: list[bytes]) -> str:
    if first == second:
        return "every byte"
    if list(map(len, first)) != list(map(len, second)):
        return "no"
    levels = max(
        int(np.abs(np.frombuffer(a, np.uint8).astype(int) - np.frombuffer(b, np.uint8)).max())
        for a, b in zip(first, second, strict=True)
    )
    return f"within {levels} levels"


def _print(console: Console, record: Record, rates: Rates, title: str) -> None:
    table = Table("call", "sent/s", "done/s", "p50 ms", "p95 ms", "p99 ms", "errors", title=title)
    for name, rate in rates.items():
        errors = ", ".join(
            f"{number} {code}" for (call, code), number in record.errors.items() if call == name
        )
        table.add_row(
            name,
            f"{rate:.1f}",
            f"{len(record.seconds[name]) / record.duration:.1f}",
            *(f"{1000 * record.percentile(name, percent):.0f}" for percent in (50, 95, 99)),
            errors or "none",
        )
        for (call, stage), seconds in record.stages.items():
            if call == name:
                values = (f"{1000 * value:.0f}" for value in np.percentile(seconds, (50, 95, 99)))
                table.add_row(f"  {stage}", "", "", *values, "", style="dim")
    console.print(table)
    for (name, code), (moment, text) in record.first_errors.items():
        console.print(f"{name}: first {code} after {moment:.0f} s: {text}", highlight=False)


def _verdict(console: Console, checks: dict[str, bool]) -> int:
    """Say of each check whether it is met, and of all together; return 0 where they are."""
    for text, met in checks.items():
        console.print(f"{'met   ' if met else 'missed'}  {text}", soft_wrap=True, highlight=False)
    met = all(checks.values())
    console.print(f"verdict: {'met' if met else 'missed'}", style="green" if met else "red")
    return int(not met)


def _growth(before: dict[str, int], after: dict[str, int]) -> int:
    """Return by how many bytes the process grew that grew most."""
    return max(after[name] - before[name] for name in before)


def _print_memory(console: Console, before: dict[str, int], after: dict[str, int]) -> None:
    for name, resident in after.items():
        console.print(f"{name}: {before[name] / _MIB:.0f} MiB before, {resident / _MIB:.0f} after")


if __name__ == "__main__":
    raise SystemExit(main())
