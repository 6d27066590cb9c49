"""Does the service hold more and more? `just soak`

`python -m bench.soak` keeps the service busy with everything that clients do, and compares what its processes hold at rest after
a warm-up with what they hold at the end.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path
from typing import Final

from .flags import console, guarded
from .service import SERVE
from .soak_facts import Facts, at_rest, look, told
from .soak_traffic import Traffic
from .victim import Victim
from .warming import fill_batches

_WARM_UP_SHARE: Final = 0.2
_LEAST_WARM_UP_S: Final = 30.0
_LOOK_S: Final = 10.0
_SEED: Final = 6


async def _busy(traffic: Traffic, victim: Victim, *, seconds: float) -> list[Facts]:
    """Keep it busy, and look at it now and then."""
    looks: list[Facts] = []

    async def watch() -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            looks.append(await asyncio.to_thread(look, victim))

    watching = asyncio.create_task(watch())
    await traffic.run(seconds=seconds)
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
    return looks


def soaked(victim: Victim, *, seconds: float) -> tuple[Facts, Facts, list[Facts], Traffic]:
    """Return what it holds at rest after the warm-up and at the end, and while it was busy."""
    traffic = Traffic(victim.url, seed=_SEED)
    fill_batches(victim.url)
    warm_up_s = max(_LEAST_WARM_UP_S, _WARM_UP_SHARE * seconds)
    asyncio.run(_busy(traffic, victim, seconds=warm_up_s))
    before = at_rest(victim)
    looks = asyncio.run(_busy(traffic, victim, seconds=seconds))
    return before, at_rest(victim), looks, traffic


def main() -> int:
    """Run, print, and return 0 if nothing has grown."""
    parser = argparse.ArgumentParser(prog="just soak", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=20.0, help="How long, after the warm-up. Default: 20.")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        victim = Victim(SERVE, {"STT_MODEL": "bundled", "STT_MAX_LIVE_SESSIONS": "256"}, uploads=Path(folder))
        victim.start()
        try:
            victim.wait_until_ready()
            before, after, looks, traffic = soaked(victim, seconds=60 * given.minutes)
        finally:
            victim.close()
    out = console()
    out.print("Done: " + ", ".join(f"{n} {what}" for what, n in sorted(traffic.counts.items())), markup=False)
    faults = [f"{n} times {what}" for what, n in sorted(traffic.counts.items()) if ": " in what]
    return told(out, before, after, looks, faults)


if __name__ == "__main__":
    sys.exit(guarded("soak", main))
