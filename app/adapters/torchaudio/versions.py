"""What decodes."""


def ffmpeg_version() -> str:
    """Return the version of the FFmpeg that PyAV brings, and PyAV's own."""
    import av

    return f"{av.ffmpeg_version_info} in PyAV {av.__version__}"
