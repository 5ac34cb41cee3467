#!/usr/bin/env python3
"""An ingest: takes alerts from JetStream, puts them into PostgreSQL, says up to where. The contract is ../nats.yaml.

In: messages of alert.>, signs of life, questions for watermarks. Out: rows; after each commit the watermark of every run that it
moved, and only then the acknowledgement to the broker. Killed anywhere, it is started again: what was committed and not
acknowledged comes once more, changes nothing, and has its watermark said again. Several may run at once.

With --receipt-key it signs for every batch that it has committed as a whole, and for every sign of life. A key, and what sites are
given to put under `centre.receipt_keys`:

    openssl genpkey -algorithm ed25519 -out receipts.key
    openssl pkey -in receipts.key -pubout -out receipts.pem

Needs nats-py (Apache-2.0), psycopg (LGPL-3.0), fastjsonschema (BSD-3-Clause), PyYAML (MIT) and cryptography (Apache-2.0 or
BSD-3-Clause).
"""

import argparse
import asyncio
import hashlib
import json
import logging
import ssl
from datetime import datetime, timezone
from pathlib import Path

import fastjsonschema
import nats
import nats.js.api as api
import psycopg
import yaml
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from psycopg.types.json import Jsonb

# Messages of one transaction.
BATCH = 512
# A message that was not acknowledged by then comes again, here or at another ingest.
ACK_WAIT_S = 30
# Refused records named in one watermark.
REFUSED_MAX = 256
# A wait before a broker or a database is tried again.
AGAIN_S = 0.5

SCHEMA = """
create table if not exists alert (
  site text, id text, revision bigint, sensor text not null, spool text not null, sequence bigint not null,
  mode text not null, record jsonb not null, heard timestamptz not null default now(), primary key (site, id, revision));
create table if not exists run (
  site text, spool text, run text, committed bigint not null default 0, settled bigint not null default 0,
  heard timestamptz not null default now(), primary key (site, spool, run));
create table if not exists part (
  site text, spool text, run text, after bigint, sequence bigint, primary key (site, spool, run, after, sequence));
create table if not exists refused (
  site text, spool text, run text, sequence bigint, error text not null, record jsonb not null,
  primary key (site, spool, run, sequence));
create table if not exists ledger (
  site text, sensor text, sequence bigint, head text, heard timestamptz not null default now(),
  primary key (site, sensor, sequence, head));
create table if not exists piece (
  site text, spool text, run text, sequence bigint, head text, sensor text, through bigint, messages bigint, record bigint,
  body bytea not null, heard timestamptz not null default now(),
  primary key (site, spool, run, sequence, head, sensor, through, messages, record));
create table if not exists receipt (
  site text, spool text, run text, sequence bigint, head text, sensor text not null, sha256 text not null,
  through bigint not null, time text not null, primary key (site, spool, run, sequence, head));
create table if not exists sensor (
  site text, sensor text, said jsonb not null, heard timestamptz not null default now(), primary key (site, sensor));
"""

# Of a batch whose other messages never came.
OLD_PIECES = "delete from piece where heard < now() - interval '1 day'"

log = logging.getLogger("ingest")


class Mistake(Exception):
    """A message of which it cannot be told which record of which site it is."""


def schemas(folder):
    """What an alert and a heartbeat must be, and what goes around an alert."""
    ingest = yaml.safe_load((folder / "ingest.yaml").read_text())["components"]
    around = yaml.safe_load((folder / "nats.yaml").read_text())["components"]["schemas"]["Message"]
    around["properties"]["record"] = {"type": "object", "required": ["sequence"],
                                      "properties": {"sequence": {"type": "integer", "minimum": 1}}}
    local = json.loads(json.dumps(around).replace("ingest.yaml#", "#"))
    own = {name: schema for name, schema in yaml.safe_load((folder / "nats.yaml").read_text())["components"]["schemas"].items()
           if name in ("Run", "Spool")}
    whole = {"components": {"schemas": {**ingest["schemas"], **own}}}
    compiled = lambda schema: fastjsonschema.compile({**schema, **whole}, use_default=False)
    named = lambda name: compiled({"allOf": [{"$ref": f"#/components/schemas/{name}"}]})
    return compiled(local), named("Alert"), named("Heartbeat")


def advance(committed, settled, parts):
    """Up to where nothing is missing, and the parts behind it. `parts`: pairs of after and sequence."""
    committed = max(committed, settled)
    behind = []
    for after, sequence in sorted(parts):
        if after <= committed:
            committed = max(committed, sequence)
        else:
            behind.append((after, sequence))
    return committed, behind


class Signer:
    """Signs for what was received; ../ledger.md has the text."""

    def __init__(self, path):
        self.key = serialization.load_pem_private_key(Path(path).read_bytes(), None)
        if not isinstance(self.key, ed25519.Ed25519PrivateKey):
            raise SystemExit(f"{path}: not an Ed25519 key")
        public = self.key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        self.name = hashlib.sha256(public).hexdigest()[:16]

    def receipt(self, site, sensor, ledger, sha256, committed, time):
        lines = ["haetae receipt 1", f"site={site}", f"sensor={sensor}", f"sequence={ledger['sequence']}",
                 f"head={ledger['head']}", f"sha256={sha256}", f"committed={committed}", f"time={time}", f"key={self.name}"]
        signature = self.key.sign("".join(line + "\n" for line in lines).encode())
        return {"key": self.name, "time": time, "signature": signature.hex()}


def now():
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")


class Ingest:
    def __init__(self, arguments):
        self.arguments = arguments
        self.signer = Signer(arguments.receipt_key) if arguments.receipt_key else None
        self.is_message, self.is_alert, self.is_heartbeat = schemas(Path(arguments.contract))

    async def connect(self):
        a = self.arguments
        tls = ssl.create_default_context(cafile=a.authority)
        tls.load_cert_chain(a.certificate, a.key)
        self.nats = await nats.connect(a.servers, tls=tls, name="ingest", inbox_prefix=b"_INBOX.ingest",
                                       max_reconnect_attempts=-1, reconnect_time_wait=AGAIN_S, error_cb=self.trouble)
        self.js = self.nats.jetstream(timeout=3)
        self.database = await psycopg.AsyncConnection.connect(a.database)
        self.answers = await psycopg.AsyncConnection.connect(a.database, autocommit=True)
        await self.database.execute("select pg_advisory_xact_lock(20261121)")
        await self.database.execute(SCHEMA)
        await self.database.execute(OLD_PIECES)
        await self.database.commit()

    async def trouble(self, error):
        log.warning("nats: %s", error)

    async def prepare(self):
        """The stream and the consumer, made where they are not."""
        a = self.arguments
        wanted = api.StreamConfig(
            name=a.stream, subjects=["alert.>"], storage=api.StorageType.FILE, num_replicas=a.replicas,
            retention=api.RetentionPolicy.WORK_QUEUE, discard=api.DiscardPolicy.NEW, max_bytes=a.bytes_max,
            duplicate_window=a.duplicate_window)
        try:
            await self.js.stream_info(a.stream)
        except NotFoundError:
            await self.js.add_stream(wanted)
        return await self.js.pull_subscribe(
            "alert.>", durable="ingest", stream=a.stream,
            config=api.ConsumerConfig(ack_policy=api.AckPolicy.EXPLICIT, ack_wait=ACK_WAIT_S, max_ack_pending=16 * BATCH))

    async def run(self):
        await self.connect()
        await self.nats.subscribe("watermark.*", queue="ingest", cb=self.answer)
        await self.nats.subscribe("heartbeat.*", queue="ingest", cb=self.alive)
        await self.nats.flush()
        while True:
            try:
                queue = await self.prepare()
                log.info("ready")
                while True:
                    try:
                        messages = await queue.fetch(BATCH, timeout=5)
                    except asyncio.TimeoutError:
                        # Nothing came; or the consumer is gone, with a broker that lost its store.
                        await queue.consumer_info()
                        continue
                    await self.take(messages)
            except (NatsError, asyncio.TimeoutError) as error:
                log.warning("nats: %s", error or type(error).__name__)
                await asyncio.sleep(AGAIN_S)

    def understand(self, message):
        """The site, run and record of a message; the site is the one whose subject it is."""
        try:
            said = self.is_message(json.loads(message.data))
        except (ValueError, fastjsonschema.JsonSchemaException) as error:
            raise Mistake(error) from error
        run = (message.headers or {}).get("Haetae-Run", "")
        if message.subject.split(".")[1] != said["site"]:
            raise Mistake(f"is of {said['site']}")
        if len(run) != 16 or not said["settled"] <= said["after"] < said["record"]["sequence"]:
            raise Mistake("has no run, or one that ends before it begins")
        if said["batch"]["through"] < said["record"]["sequence"]:
            raise Mistake("is of a batch that ends before it")
        said["body"] = message.data
        return (said["site"], said["spool"], run), said

    async def take(self, messages):
        """One transaction; then it is said, then acknowledged."""
        runs, good = {}, []
        for message in messages:
            try:
                key, said = self.understand(message)
            except Mistake as mistake:
                log.error("%s: not an alert: %s", message.subject, mistake)
                await message.term()
                continue
            runs.setdefault(key, []).append(said)
            good.append(message)
        async with self.database.transaction():
            for key in sorted(runs):
                await self.keep(key, runs[key])
        for key in sorted(runs):
            await self.tell(key)
        for message in good:
            await message.ack()
        await self.nats.flush()

    async def keep(self, key, said):
        cursor = self.database.cursor()
        await cursor.execute("insert into run (site, spool, run) values (%s, %s, %s) on conflict do nothing", key)
        # Another ingest waits here until this one has committed.
        await cursor.execute("select committed, settled from run where (site, spool, run) = (%s, %s, %s) for update", key)
        committed, settled = await cursor.fetchone()
        site, spool, run = key
        alerts, refused = [], []
        for one in said:
            record = one["record"]
            try:
                self.is_alert(record)
                alerts.append((site, record["id"], record["revision"], one["sensor"], spool, record["sequence"],
                               one["mode"], json.dumps(record)))
            except fastjsonschema.JsonSchemaException as error:
                refused.append((*key, record["sequence"], error.message, Jsonb(record)))
        await cursor.execute(
            "insert into alert (site, id, revision, sensor, spool, sequence, mode, record) select * from unnest(%s::text[],"
            " %s::text[], %s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::text[], %s::jsonb[]) on conflict do nothing",
            [list(column) for column in zip(*alerts)] if alerts else [[] for _ in range(8)])
        if refused:
            await cursor.executemany("insert into refused values (%s, %s, %s, %s, %s, %s) on conflict do nothing", refused)
        await cursor.execute("delete from part where (site, spool, run) = (%s, %s, %s) returning after, sequence", key)
        parts = await cursor.fetchall() + [(one["after"], one["record"]["sequence"]) for one in said]
        if self.signer:
            await self.gather(cursor, key, said)
        for head in sorted({(site, one["sensor"], one["ledger"]["sequence"], one["ledger"]["head"]) for one in said}):
            await self.hear_head(cursor, head)
        settled = max([settled] + [one["settled"] for one in said])
        committed, behind = advance(committed, settled, parts)
        if behind:
            await cursor.executemany("insert into part values (%s, %s, %s, %s, %s) on conflict do nothing",
                                     [(*key, after, sequence) for after, sequence in behind])
        await cursor.execute("update run set committed = %s, settled = %s, heard = now()"
                             " where (site, spool, run) = (%s, %s, %s)", (committed, settled, *key))

    async def hear_head(self, cursor, head):
        """Keeps where a sensor's ledger stood, and says so where it stood otherwise before."""
        await cursor.execute("insert into ledger values (%s, %s, %s, %s) on conflict do nothing", head)
        if cursor.rowcount:
            await cursor.execute("select count(*) from ledger where (site, sensor, sequence) = (%s, %s, %s)", head[:3])
            if (await cursor.fetchone())[0] > 1:
                log.error("%s/%s: its ledger has two heads at %s: it was written anew", *head[:3])

    async def gather(self, cursor, key, said):
        """Notes what a batch was of which nothing is missing any more; keeps messages until then.

        A sensor has one batch of a spool under way. What is there of an earlier one it has given up, and sends in another.
        """
        of, batches = "(site, spool, run) = (%s, %s, %s)", {}
        for one in said:
            name = (one["ledger"]["sequence"], one["ledger"]["head"], one["sensor"], *(
                one["batch"][part] for part in ("through", "messages")))
            batches.setdefault(name, {})[one["record"]["sequence"]] = one["body"]
        await cursor.execute(f"delete from piece where {of} and sequence < %s", (*key, max(batches)[0]))
        for name, pieces in sorted(batches.items()):
            sequence, head, sensor, through, messages = name
            await cursor.execute(f"select from receipt where {of} and (sequence, head) = (%s, %s)", (*key, sequence, head))
            if cursor.rowcount:
                continue
            new = dict(pieces)
            if len(pieces) < messages:
                await cursor.execute(
                    f"select record, body from piece where {of}"
                    " and (sequence, head, sensor, through, messages) = (%s, %s, %s, %s, %s)", (*key, *name))
                pieces.update(await cursor.fetchall())
            if len(pieces) == messages:
                whole = hashlib.sha256(b"".join(body for _, body in sorted(pieces.items()))).hexdigest()
                await cursor.execute("insert into receipt values (%s, %s, %s, %s, %s, %s, %s, %s, %s)",
                                     (*key, sequence, head, sensor, whole, through, now()))
                await cursor.execute(f"delete from piece where {of} and sequence <= %s", (*key, sequence))
            elif len(pieces) < messages:
                await cursor.executemany(
                    "insert into piece values (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) on conflict do nothing",
                    [(*key, *name, record, body) for record, body in new.items()])

    async def received(self, key):
        """The newest batch of a run that was committed as a whole, with the receipt."""
        cursor = await self.answers.execute(
            "select sequence, head, sensor, sha256, through, time from receipt where (site, spool, run) = (%s, %s, %s)"
            " order by sequence desc limit 1", key)
        row = await cursor.fetchone()
        if not row or not self.signer:
            return {}
        ledger = dict(zip(("sequence", "head"), row))
        return {"received": {"ledger": ledger, "receipt": self.signer.receipt(key[0], row[2], ledger, *row[3:])}}

    async def watermark(self, key):
        """What the database says of a run."""
        # First: what is signed for is committed, whatever is committed meanwhile.
        received = await self.received(key)
        cursor = await self.answers.execute(
            "select committed, settled from run where (site, spool, run) = (%s, %s, %s)", key)
        committed, settled = await cursor.fetchone() or (0, 0)
        cursor = await self.answers.execute(
            "select sequence, error from refused where (site, spool, run) = (%s, %s, %s) and sequence > %s"
            " order by sequence limit %s", (*key, settled, REFUSED_MAX + 1))
        refused = await cursor.fetchall()
        if len(refused) > REFUSED_MAX:
            committed, received = min(committed, refused[REFUSED_MAX][0] - 1), {}
        named = [{"sequence": sequence, "error": error} for sequence, error in refused[:REFUSED_MAX]]
        return json.dumps({"spool": key[1], "run": key[2], "committed": committed, "refused": named, **received}).encode()

    async def tell(self, key):
        await self.nats.publish(f"committed.{key[0]}", await self.watermark(key))

    async def answer(self, message):
        try:
            asked = json.loads(message.data)
            key = (message.subject.split(".")[1], str(asked["spool"]), str(asked["run"]))
        except (ValueError, KeyError, TypeError):
            return
        await message.respond(await self.watermark(key))

    async def alive(self, message):
        try:
            said = self.is_heartbeat(json.loads(message.data))
        except (ValueError, fastjsonschema.JsonSchemaException):
            return
        site, sensor, ledger = said["site"], said["sensor"], said["ledger"]
        if site == message.subject.split(".")[1]:
            await self.answers.execute(
                "insert into sensor (site, sensor, said) values (%s, %s, %s)"
                " on conflict (site, sensor) do update set said = excluded.said, heard = now()",
                (site, sensor, Jsonb(said)))
            await self.hear_head(self.answers.cursor(), (site, sensor, ledger["sequence"], ledger["head"]))
            if message.reply and self.signer:
                sha256 = hashlib.sha256(message.data).hexdigest()
                receipt = self.signer.receipt(site, sensor, ledger, sha256, 0, now())
                await message.respond(json.dumps({"receipt": receipt}).encode())


def parsed():
    parser = argparse.ArgumentParser(description="Takes alerts from JetStream and puts them into PostgreSQL.")
    for name in ("certificate", "key", "authority", "database"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--receipt-key", help="PEM, Ed25519, PKCS 8; without it nobody signs")
    parser.add_argument("--servers", nargs="+", required=True, help="tls://host:port")
    parser.add_argument("--contract", default=Path(__file__).resolve().parent.parent, help="the folder of nats.yaml")
    parser.add_argument("--stream", default="ALERTS")
    parser.add_argument("--replicas", type=int, default=3)
    parser.add_argument("--bytes-max", type=int, default=10 << 30)
    parser.add_argument("--duplicate-window", type=float, default=120, help="seconds")
    return parser.parse_args()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    asyncio.run(Ingest(parsed()).run())
