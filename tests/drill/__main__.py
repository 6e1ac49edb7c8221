"""``python -m tests.drill``: run the fault drill, and print what became of every frame."""

from __future__ import annotations

import argparse
import asyncio
import random
import sys
import tempfile
from pathlib import Path

from tests.drill.drill import Drill, Plan, Report


def main() -> int:
    """Return 0 if nothing accepted was lost, doubled, altered or out of order, else 1."""
    options = _parser().parse_args()
    plan = Plan(
        seed=options.seed,
        num_cameras=options.cameras,
        num_frames=options.frames,
        num_faults=options.faults,
        fps=options.fps,
        # Streams of a real model are small: the least that the setting allows is full soon enough.
        spool_bytes=Plan.spool_bytes if options.model is None else 2**16,
        spool_full=options.spool_full,
        model=options.model,
    )
    print(f"fault drill, seed {plan.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="ugicm-drill-") as name:
        folder = options.folder or Path(name)
        folder.mkdir(parents=True, exist_ok=True)
        report = asyncio.run(Drill(plan, folder, lambda line: print(line, flush=True)).run())
    print(table(report))
    return 0 if report.is_good else 1


def table(report: Report) -> str:
    """Return the report as lines of text."""
    verdict = report.verdict
    assert verdict is not None  # the drill came to its end
    cuts = ", ".join(f"{number} {kind}" for kind, number in sorted(report.cuts.items()))
    kills = (report.num_encoder_kills, report.num_decoder_kills)
    rows = [
        ("frames sent", report.num_sent, f"by {report.plan.num_cameras} cameras"),
        ("accepted", report.num_accepted, f"{report.num_refused} refused for good"),
        ("stored", verdict.stored, f"{verdict.bytes_checked} compared with what was sent"),
        ("told as gaps", verdict.told_as_gaps, "dropped by the spool's settings"),
        ("lost", verdict.lost, ""),
        ("duplicated", verdict.duplicated, ""),
        ("out of order", verdict.out_of_order, ""),
        ("wrong bytes", verdict.wrong_bytes, ""),
        ("restarts survived", sum(kills), f"encoder {kills[0]}, decoder {kills[1]}, all kill -9"),
        ("link cuts", sum(report.cuts.values()), cuts),
        ("spool full", report.num_spool_refusals, "times that cameras were told to wait"),
        ("store full", report.num_store_refusals, "frames that were told to wait"),
        ("reconnects", report.num_reconnects, "tries of cameras"),
    ]
    lines = [f"{name:<18}{number:>7}  {note}".rstrip() for name, number, note in rows]
    verdict_line = "passed" if report.is_good else "FAILED"
    return "\n".join([*lines, f"{verdict_line} in {report.seconds:.0f} s"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="make drill",
        description="Stream frames from cameras through an encoder to a decoder while both are "
        "killed and started again, the link is cut, and spool and store run full. In the end every "
        "frame that a camera was told is accepted must be stored once, right and in order.",
        epilog="Exit status: 0 passed, 1 failed.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--seed", type=int, default=random.randrange(10**6), help="of the faults and the pictures"
    )
    parser.add_argument("--cameras", type=int, default=Plan.num_cameras, help="how many stream")
    parser.add_argument(
        "--frames", type=int, default=Plan.num_frames, help="of all cameras, at least"
    )
    parser.add_argument("--faults", type=int, default=Plan.num_faults, help="how many happen")
    parser.add_argument("--fps", type=float, default=Plan.fps, help="of each camera")
    parser.add_argument(
        "--spool-full",
        choices=("refuse", "drop-oldest"),
        default=Plan.spool_full,
        help="what the encoder does when its spool is full",
    )
    parser.add_argument(
        "--model",
        help="model file or name for the services; a lossless stand-in without a network, which "
        "starts in a second, if not given",
    )
    parser.add_argument("--folder", type=Path, help="keeps logs, spool and store here")
    return parser


if __name__ == "__main__":
    sys.exit(main())
