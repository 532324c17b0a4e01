"""A server that takes mail for the tests: smtp_sink.py PORT FOLDER. Needs aiosmtpd, which ./test installs.

Prints the port once it listens. Each mail that it took becomes a file NNNNN.json in the folder, as Python's own parser reads it.
Addresses decide what becomes of a mail: `reject…` is refused for good, `later…` for now until FOLDER/later exists, `hold…` is taken,
but answered only once FOLDER/release exists. Who does not sign in as mailer:hush is not heard.
"""
import asyncio
import email
import email.policy
import json
import pathlib
import sys

from aiosmtpd.smtp import SMTP, AuthResult

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
taken = len(list(folder.glob("*.json")))


class Sink:
    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("reject"):
            return f"550 no such user {address}"
        if address.startswith("later") and not (folder / "later").exists():
            return f"451 {address} tries again later"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        global taken
        taken += 1
        name = f"{taken:05d}.json"
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        read = {
            "from": envelope.mail_from,
            "to": envelope.rcpt_tos,
            "headers": [[name, str(value)] for name, value in message.items()],
            "text": message.get_content().replace("\r\n", "\n"),
            "multipart": message.is_multipart(),
        }
        (folder / "part").write_text(json.dumps(read))
        (folder / "part").rename(folder / name)
        if envelope.rcpt_tos[0].startswith("hold"):
            while not (folder / "release").exists():
                await asyncio.sleep(0.01)
        return "250 stored"


def who(server, session, envelope, mechanism, data):
    return AuthResult(success=(data.login, data.password) == (b"mailer", b"hush"))


def session():
    return SMTP(
        Sink(), authenticator=who, auth_required=True, auth_require_tls=False, enable_SMTPUTF8=True, hostname="sink.example"
    )


async def main():
    server = await asyncio.get_running_loop().create_server(session, "127.0.0.1", port)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


asyncio.run(main())
