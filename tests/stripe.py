"""localstripe on a free port of loopback, with what it lacks of Stripe's protocol in front. Prints the port, and ends with
its standard input, so that it outlives no test.

What is added is our reading of Stripe's reference, not Stripe:
 * Idempotency-Key: the same key and parameters get the first answer again, whatever it was; other parameters are refused,
   and so is a second call while the first is at work.
 * Payment intents are listed by customer, the newest first.
 * Errors have the type and code that Stripe gives them.

For tests: from POST /_config/hold on, answers to demands of payment do not come (they are met all the same), until POST
/_config/release.
"""

import asyncio
import hashlib
import json
import os
import sys
import threading

from aiohttp import web
from localstripe import resources, server

# All instances would share its file.
resources.Store.dump_to_disk = lambda store: None

INTENTS = "/v1/payment_intents"
answers = {}
working = set()
passing = asyncio.Event()
passing.set()


def answer(status, body, **headers):
    return web.json_response(body, status=status, headers=headers)


def refusal(status, kind, code, message):
    return answer(status, {"error": {"type": kind, "code": code, "message": message}})


async def config(request):
    if request.path == "/_config/hold":
        passing.clear()
    elif request.path == "/_config/release":
        passing.set()
    else:
        return None
    return web.Response(status=204)


def listed(request):
    query = dict(request.query)
    customer, limit = query.pop("customer"), int(query.pop("limit", 10))
    if query or not 1 <= limit <= 100:
        return refusal(400, "invalid_request_error", "parameter_unknown", f"Received unknown parameters: {query}")
    known = [value for key, value in resources.store.items() if key.startswith("payment_intent:")]
    found = [intent._export() for intent in reversed(known) if intent.customer == customer]
    data = {"object": "list", "url": INTENTS, "data": found[:limit], "has_more": len(found) > limit}
    return answer(200, json.loads(json.dumps(data, default=str)))


async def asked(request, handler):
    """The answer, with its error as Stripe would say it."""
    done = await handler(request)
    if done.status < 400 or not done.body:
        return done
    body = json.loads(done.body)
    error = body["error"]
    if done.status == 402:
        error["type"] = "card_error"
    elif done.status == 404:
        error["code"] = "resource_missing"
    return answer(done.status, body)


async def once(request, handler, key):
    parameters = hashlib.sha256(request.path.encode() + b"\n" + await request.read()).hexdigest()
    if key in working:
        return refusal(409, "idempotency_error", "idempotency_key_in_use", "Another request uses this key right now.")
    if key in answers:
        earlier, status, body = answers[key]
        if earlier != parameters:
            return refusal(400, "idempotency_error", None, "This key was used with other parameters.")
        return web.Response(
            body=body, status=status, content_type="application/json", headers={"Idempotent-Replayed": "true"}
        )
    working.add(key)
    try:
        # Stripe takes its time too: whoever comes twice at once meets the other.
        await asyncio.sleep(0)
        done = await asked(request, handler)
    finally:
        working.discard(key)
    if done.status != 401:
        answers[key] = (parameters, done.status, done.body)
    return done


@web.middleware
async def front(request, handler):
    if (configured := await config(request)) is not None:
        return configured
    key = request.headers.get("Idempotency-Key")
    about_intents = request.path == INTENTS and request.headers.get("Stripe-Version")
    if about_intents and request.method == "GET" and "customer" in request.query:
        done = listed(request)
    elif request.method == "POST" and key:
        done = await once(request, handler, key)
    else:
        done = await asked(request, handler)
    if about_intents and request.method == "POST":
        await passing.wait()
    return done


def end_with_input():
    sys.stdin.read()
    os._exit(0)


async def main():
    server.app.middlewares.insert(0, front)
    runner = web.AppRunner(server.app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(runner.addresses[0][1], flush=True)
    threading.Thread(target=end_with_input, daemon=True).start()
    await asyncio.Event().wait()


asyncio.run(main())
