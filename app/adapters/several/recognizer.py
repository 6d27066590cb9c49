"""A `Recognizer` made of several, each on a device of its own in this process: a batch goes to one that is free."""

from collections.abc import Mapping, Sequence
from queue import SimpleQueue
from typing import Any

import msgspec

from ...domain.audio import Clip
from ...domain.errors import ModelUnavailableError
from ...domain.ports import DeviceMemory, Options, Recognizer, RecognizerFacts
from ...domain.transcript import Transcript


class SeveralRecognizers:
    """Calls of `recognize` on as many threads as there are recognisers keep all of them busy. One lost device ends them all."""

    def __init__(self, recognizers: Sequence[Recognizer]) -> None:
        """Take recognisers of one model in one precision, at least one of them.

        Raises:
            ModelUnavailableError: They differ: what a clip says would depend on which of them is free.
        """
        facts = [one.facts for one in recognizers]
        if len(kinds := {(each.model_id, each.precision) for each in facts}) > 1:
            told = " and ".join(sorted(f"{model} in {precision}" for model, precision in kinds))
            raise ModelUnavailableError(f"the devices would run {told}; set STT_PRECISION to what all of them have")
        self._recognizers = tuple(recognizers)
        self._free: SimpleQueue[Recognizer] = SimpleQueue()
        for one in recognizers:
            self._free.put(one)
        self._facts = msgspec.structs.replace(
            facts[0],
            longest_clip_s=min(each.longest_clip_s for each in facts),
            batch_padded_s=min(each.batch_padded_s for each in facts),
            max_concurrent_batches=len(recognizers),
            prepares_ahead=False,
            device=", ".join(each.device for each in facts),
        )

    @property
    def facts(self) -> RecognizerFacts:
        return self._facts

    def configuration(self) -> Mapping[str, Any]:
        return self._recognizers[0].configuration()

    def device_memory(self) -> DeviceMemory | None:
        found = [memory for one in self._recognizers if (memory := one.device_memory())]
        return (
            DeviceMemory(
                total_bytes=sum(memory.total_bytes for memory in found),
                used_bytes=sum(memory.used_bytes for memory in found),
                reserved_bytes=sum(memory.reserved_bytes for memory in found),
            )
            if found
            else None
        )

    def recognize(self, clips: Sequence[Clip], options: Sequence[Options]) -> list[Transcript]:
        one = self._free.get()
        try:
            return one.recognize(clips, options)
        finally:
            self._free.put(one)
