"""Keep the frames of one call from overtaking one that its camera was told to send again."""

from __future__ import annotations

from dataclasses import dataclass

from ugicm.v1 import types_pb2
from ugicm_servicekit.errors import Overloaded

__all__ = ["Overtaking"]

# As many frames as a camera may have on its way when it hears of a refusal. One that goes on with
# newer frames all the same is let in again behind them.
_MOST_ON_THEIR_WAY = 64
_RETRY_SECONDS = 1.0
# A camera has one epoch, or two: of a call with ever new ones only the newest are remembered.
_MOST_EPOCHS = 64


@dataclass
class _Refused:
    """The first sequence that is to come again, and how many later ones were refused since."""

    sequence: int
    num_held_up: int = 0


class Overtaking:
    """What one call was told to send again; time tells nothing where a disk or a link is slow."""

    def __init__(self) -> None:
        self._of_epoch: dict[tuple[str, int], _Refused] = {}

    def refuse(self, key: types_pb2.FrameKey) -> None:
        """Note that a frame was refused, and may come again."""
        if len(self._of_epoch) == _MOST_EPOCHS:
            del self._of_epoch[next(iter(self._of_epoch))]
        self._of_epoch.setdefault((key.camera, key.epoch), _Refused(key.sequence))

    def check(self, key: types_pb2.FrameKey) -> None:
        """Refuse a frame that was on its way behind a refused one.

        Raises:
            Overloaded: it was.
        """
        epoch = (key.camera, key.epoch)
        refused = self._of_epoch.get(epoch)
        if refused is None:
            return
        if key.sequence <= refused.sequence or refused.num_held_up == _MOST_ON_THEIR_WAY:
            del self._of_epoch[epoch]
            return
        refused.num_held_up += 1
        raise Overloaded(
            f"frame {refused.sequence} of camera {key.camera} was refused, and later ones "
            "that were on their way wait for it",
            retry_after_seconds=_RETRY_SECONDS,
        )
