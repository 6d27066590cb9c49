"""Everything here that reads what strangers send. A target takes bytes, and fails where what reads them breaks its promises."""

from collections.abc import Callable, Iterable
from typing import Final

import msgspec

from . import messages, sound, trust


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """One reader."""

    run: Callable[[bytes], None]
    seeds: Callable[[], Iterable[bytes]]  # good inputs and nearly good ones, from which others are made
    longest_bytes: int = 4_096  # of an input


TARGETS: Final = {
    "sniffing": Target(run=sound.sniff, seeds=sound.files),
    "normaliser": Target(run=sound.decode, seeds=sound.files, longest_bytes=32_768),
    "live-sound": Target(run=sound.hear, seeds=sound.raw_sound),
    "form": Target(run=messages.read_body, seeds=messages.forms),
    "ws-messages": Target(run=messages.speak_plain, seeds=messages.plain_talks),
    "realtime-events": Target(run=messages.speak_realtime, seeds=messages.realtime_talks),
    "decode-wire": Target(run=trust.listen, seeds=trust.wire_messages),
    "entrance": Target(run=trust.knock, seeds=trust.knocks),
    "key-file": Target(run=trust.open_with, seeds=trust.key_files),
    "settings-file": Target(run=trust.configure, seeds=trust.toml_files),
}
