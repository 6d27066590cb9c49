"""Files, requests and sessions that mean harm, each with the answer it must get: `just hostile`."""
