"""parakeet-stt: self-hosted speech-to-text behind the OpenAI Audio API."""
