"""Where short-lived secrets for realtime sessions are minted, in OpenAI's form and in that of its beta."""

from typing import Annotated, Any, Final, Literal

import msgspec
from litestar import Request, Response, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from msgspec import Meta

from ...domain.engine import Engine
from ...domain.errors import InvalidRequestError
from ...settings import Settings
from ..callers import Caller
from ..client_secrets import ClientSecrets, Minted
from ..errors import INVALID, ErrorBody, Row, body_of
from ..websocket.realtime_events import new_id
from ..websocket.realtime_session import (
    BetaConfig,
    BetaSecret,
    BetaSessionObject,
    SessionConfig,
    SessionObject,
    beta_session_object,
    session_object,
)
from ..websocket.realtime_updates import RefusedEventError, first_config, served_by, updated_by_beta, updated_config
from .answers import AnyRequest, error_answer
from .openapi import error_responses, json_operation

_MOST_BYTES: Final = 1_000_000  # of a request
JsonRequest = Request[Any, Any, State]


class ExpiresAfter(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a secret opens sessions; one that was opened goes on."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=10, le=7_200)] = 600


class ClientSecretRequest(msgspec.Struct, frozen=True, kw_only=True):
    """How long the secret lasts, and what a session is set to that it opens; all of it may be missing."""

    expires_after: ExpiresAfter = ExpiresAfter()
    session: SessionConfig = SessionConfig()


class ClientSecretBody(msgspec.Struct, frozen=True, kw_only=True):
    """The secret, when it expires (seconds since 1970), and what a session is set to that it opens."""

    value: str
    expires_at: int
    session: SessionObject


class BetaLifetime(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long the secret lasts."""

    expires_at: ExpiresAfter = ExpiresAfter()


class TranscriptionSessionRequest(BetaConfig, frozen=True, kw_only=True):
    """The same as the beta has it; `modalities` are accepted and change nothing."""

    client_secret: BetaLifetime = BetaLifetime()
    modalities: list[Literal["text", "audio"]] | None = None


SECRET_BODIES: Final = (ClientSecretRequest, ClientSecretBody, TranscriptionSessionRequest, BetaSessionObject)


def answer_refusal(_request: AnyRequest, refusal: RefusedEventError) -> Response[ErrorBody]:
    """Answer what would be an error event in a session."""
    row = Row(404 if refusal.code == "model_not_found" else 400, INVALID, refusal.code)
    return error_answer(row, body_of(row, str(refusal), param=refusal.param))


@post(
    ["/v1/realtime/client_secrets", "/realtime/client_secrets"],
    status_code=200,
    operation_class=json_operation(ClientSecretRequest, ClientSecretBody),
    responses=error_responses(400, 401, 404, 408, 429, 503),
    exception_handlers={RefusedEventError: answer_refusal},
    tags=["realtime"],
)
async def create_client_secret(
    request: JsonRequest,
    engine: NamedDependency[Engine],
    settings: NamedDependency[Settings],
    client_secrets: NamedDependency[ClientSecrets],
    caller: NamedDependency[Caller],
) -> Response[ClientSecretBody]:
    """Mint a secret for whoever has no key: it opens realtime transcription sessions until it expires."""
    body = await _members(request)
    for name in body:
        if name not in ("expires_after", "session"):
            raise RefusedEventError(f"there is no `{name[:100]}`", code="unknown_parameter", param=name[:100])
    lifetime = _lifetime(body.get("expires_after"), "expires_after")
    served = served_by(engine, settings)
    config = updated_config(first_config(served), {} if body.get("session") is None else body["session"], served)
    minted = client_secrets.mint(config, lifetime_s=lifetime.seconds, owner=caller.key)
    told = session_object(config, session_id=new_id("sess_"), expires_unix_s=None)
    return Response(ClientSecretBody(value=minted.value, expires_at=minted.expires_unix_s, session=told))


@post(
    ["/v1/realtime/transcription_sessions", "/realtime/transcription_sessions"],
    status_code=200,
    operation_class=json_operation(TranscriptionSessionRequest, BetaSessionObject),
    responses=error_responses(400, 401, 404, 408, 429, 503),
    exception_handlers={RefusedEventError: answer_refusal},
    tags=["realtime"],
)
async def create_transcription_session(
    request: JsonRequest,
    engine: NamedDependency[Engine],
    settings: NamedDependency[Settings],
    client_secrets: NamedDependency[ClientSecrets],
    caller: NamedDependency[Caller],
) -> Response[BetaSessionObject]:
    """Mint such a secret in the form of OpenAI's beta."""
    body = await _members(request)
    lifetime = ExpiresAfter()
    if isinstance(secret := body.pop("client_secret", None), dict):
        lifetime = _lifetime(secret.get("expires_at"), "client_secret.expires_at")
    elif secret is not None:
        raise InvalidRequestError("`client_secret` must be an object", field="client_secret")
    served = served_by(engine, settings)
    try:
        config = updated_by_beta(first_config(served), body, served)
    except RefusedEventError as refusal:  # here the session is the whole body
        param = (refusal.param or "").removeprefix("session.") or None
        raise RefusedEventError(str(refusal).replace("`session.", "`"), code=refusal.code, param=param) from refusal
    minted = client_secrets.mint(config, lifetime_s=lifetime.seconds, owner=caller.key)
    return Response(beta_session_object(config, session_id=new_id("sess_"), expires_unix_s=None, secret=_beta_secret(minted)))


async def _members(request: JsonRequest) -> dict[str, Any]:
    """Read a body, which may be empty.

    Raises:
        InvalidRequestError: It is no JSON object, or longer than the limit.
    """
    read = bytearray()
    async for chunk in request.stream():
        read += chunk
        if len(read) > _MOST_BYTES:
            raise InvalidRequestError(f"the body is longer than the limit of {_MOST_BYTES} bytes")
    try:
        body = msgspec.json.decode(bytes(read)) if read.strip() else {}
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as fault:
        raise InvalidRequestError("the body is no JSON") from fault
    if not isinstance(body, dict):
        raise InvalidRequestError("the body must be a JSON object")
    return body


def _lifetime(asked: object, place: str) -> ExpiresAfter:
    if asked is None:
        return ExpiresAfter()
    try:
        return msgspec.convert(asked, ExpiresAfter)
    except msgspec.ValidationError as fault:
        told, _, path = str(fault).partition(" - at `$")
        param = place + path.rstrip("`")
        raise InvalidRequestError(f"`{param}`: {told}", field=param) from fault


def _beta_secret(minted: Minted) -> BetaSecret:
    return BetaSecret(value=minted.value, expires_at=minted.expires_unix_s)
