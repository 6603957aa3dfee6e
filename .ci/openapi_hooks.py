"""Extensions of Schemathesis for the API: signatures, the verify token, cursors, and checks of responses.

Reads VERIFY_TOKEN, APP_SECRET, USER_TOKEN and CURSOR; writes how often each answer came, and which fields the rows had,
to TALLY.
"""

import atexit
import hashlib
import hmac
import json
import os
import re
from collections import Counter
from urllib.parse import parse_qs, urlsplit

import requests
import schemathesis

HEADER = "X-Hub-Signature-256"
VERIFY_TOKEN, APP_SECRET, USER_TOKEN, CURSOR = (
    os.environ[name] for name in ("VERIFY_TOKEN", "APP_SECRET", "USER_TOKEN", "CURSOR")
)
PARAMETERS = {
    "limit": "0*([1-9][0-9]?|1[0-9]{2}|200)",
    "before": "[A-Za-z0-9_-]{32,86}",
    "channel": "[A-Za-z0-9_.-]{1,64}",
    "role": "[A-Za-z0-9_.-]{1,64}",
}
answers, fields = Counter(), Counter()


@atexit.register
def write_tally():
    with open(os.environ["TALLY"], "w") as file:
        json.dump({"answers": answers, "fields": fields}, file)


def body_of(request):
    body = request.body or b""
    return body.encode() if isinstance(body, str) else body


def signed(body):
    return "sha256=" + hmac.new(APP_SECRET.encode(), body, hashlib.sha256).hexdigest()


def values(request):
    """Returns the parameters of the query as sent."""
    return parse_qs(urlsplit(request.url).query, keep_blank_values=True)


class Token(requests.auth.AuthBase):
    def __call__(self, request):
        request.headers["Authorization"] = f"Bearer {USER_TOKEN}"
        return request


class Signature(requests.auth.AuthBase):
    """Signs three of four bodies; the others are sent without a signature or with an invalid one."""

    def __call__(self, request):
        body = body_of(request)
        bad = [None, "sha256=" + "0" * 63, signed(body + b" "), signed(body).replace("256", "1")]
        chosen = hashlib.sha256(body).digest()
        signature = bad[chosen[1] % len(bad)] if chosen[0] % 4 == 0 else signed(body)
        request.headers.pop(HEADER, None)
        if signature is not None:
            request.headers[HEADER] = signature
        return request


# Here and not in openapi.toml, whose setting would replace both.
schemathesis.auth.set_from_requests(Token()).apply_to(path="/messages")
schemathesis.auth.set_from_requests(Signature()).apply_to(path="/webhook", method="POST")


@schemathesis.hook
def before_call(context, case, kwargs):
    """Sets secrets and cursors, which cannot be guessed: without them every response would be 403 or 400."""
    label, query = case.operation.label, case.query or {}
    if label == "GET /webhook" and isinstance(query.get("hub.verify_token"), str):
        chosen = hashlib.sha256(json.dumps(query, sort_keys=True, default=str).encode()).digest()
        if chosen[0] % 4:
            query["hub.verify_token"] = VERIFY_TOKEN
    if label == "GET /messages" and "before" in query and case.meta and case.meta.generation.mode.is_positive:
        query["before"] = CURSOR


@schemathesis.hook
def after_call(context, case, response):
    answers[f"{response.request.method} {case.path} {response.status_code}"] += 1
    if case.path == "/messages" and response.status_code == 200:
        for row in response.json():
            fields.update(row.keys())


@schemathesis.check
def the_signature_decides(ctx, response, case):
    """Checks that the status is 200 exactly when the signature is valid."""
    request = response.request
    if case.operation.label != "POST /webhook" or request.method != "POST":
        return
    right = request.headers.get(HEADER) == signed(body_of(request))
    assert response.status_code == (200 if right else 401), f"{response.status_code}, valid signature: {right}"


@schemathesis.check
def the_challenge_comes_back(ctx, response, case):
    """Checks that the challenge is returned unchanged, and only for the right token."""
    request = response.request
    if case.operation.label != "GET /webhook" or request.method != "GET":
        return
    sent = values(request)
    names = ["hub.mode", "hub.verify_token", "hub.challenge"]
    if any(name not in sent for name in names):
        assert response.status_code == 400, response.status_code
        return
    mode, token, challenge = (sent[name][0] for name in names)
    if (mode, token) == ("subscribe", VERIFY_TOKEN):
        assert (response.status_code, response.content) == (200, challenge.encode()), response.status_code
    else:
        assert response.status_code == 403, response.status_code


@schemathesis.check
def the_parameters_decide(ctx, response, case):
    """Checks that valid parameters get a page and others 400. Schemathesis accepts some invalid ones beside valid ones."""
    if case.operation.label != "GET /messages" or response.status_code not in (200, 400):
        return
    given = {name: sent for name, sent in values(response.request).items() if name in PARAMETERS}
    good = all(len(sent) == 1 and re.fullmatch(PARAMETERS[name], sent[0]) for name, sent in given.items())
    if response.status_code == 200:
        assert good, given
    else:
        # Other strings of the format may or may not be cursors.
        assert not good or given.get("before", [CURSOR]) != [CURSOR], given


@schemathesis.check
def the_page_is_what_was_asked_for(ctx, response, case):
    """Checks that a page has at most `limit` rows, of that channel and role, newest first, and only with the token."""
    request = response.request
    if case.operation.label != "GET /messages" or response.status_code != 200:
        return
    assert request.headers.get("Authorization") == f"Bearer {USER_TOKEN}", "a page without the token"
    asked, rows = values(request), response.json()
    assert len(rows) <= int(asked.get("limit", ["50"])[0]), len(rows)
    for name in ["channel", "role"]:
        assert {row[name] for row in rows} <= set(asked.get(name, [row[name] for row in rows])), name
    times = [row["created_at"] for row in rows]
    assert times == sorted(times, reverse=True), times
