"""A bit of everything that psycopg2 does. What it prints must not depend on what
stands between it and PostgreSQL."""
import io
import select
import sys
import threading
import uuid

import psycopg2
import psycopg2.extensions
import psycopg2.extras

dsn, name = sys.argv[1], "smoke_" + uuid.uuid4().hex[:8]


def show(what, value):
    print(f"{what}: {value!r}".replace(name, "NAME"))


def sqlstate(f, *args):
    try:
        f(*args)
        return "no error"
    except psycopg2.Error as e:
        return e.pgcode


conn = psycopg2.connect(dsn, application_name="smoke test", options="-c statement_timeout=31s -c search_path=pg_catalog,public")
show("encoding", conn.encoding)
show("version", conn.server_version)
show("protocol", conn.protocol_version)
show("application", conn.get_parameter_status("application_name"))
cur = conn.cursor()
for _ in range(5):
    cur.execute("SHOW statement_timeout")
    show("startup option", cur.fetchone())
    conn.commit()

cur.execute(f"CREATE TABLE public.{name} (id serial PRIMARY KEY, t text, b bytea, d timestamptz, a int[])")
psycopg2.extras.execute_values(cur, f"INSERT INTO public.{name} (t, b, a) VALUES %s",
                               [(f"row {i} ' \\ \u00e4", bytes(range(i)), list(range(i))) for i in range(20)])
conn.commit()
cur.execute(f"SELECT count(*), max(t), sum(length(b)), sum(cardinality(a)) FROM public.{name} WHERE id > %s", (3,))
show("rows", cur.fetchone())
cur.execute(f"UPDATE public.{name} SET d = '2026-01-02 03:04:05+00' WHERE id = 1 RETURNING d AT TIME ZONE 'UTC'")
show("returning", cur.fetchone())
conn.rollback()
cur.execute(f"SELECT d FROM public.{name} WHERE id = 1")
show("after rollback", cur.fetchone())
conn.commit()

with conn.cursor("named") as named:
    named.itersize = 7
    named.execute(f"SELECT id FROM public.{name} ORDER BY id")
    show("named cursor", [r[0] for r in named])
conn.commit()
with conn.cursor("held", withhold=True) as held:
    held.execute(f"SELECT id FROM public.{name} ORDER BY id")
    first = held.fetchmany(3)
    conn.commit()
    show("held cursor", first + held.fetchmany(2))
conn.commit()

out = io.StringIO()
cur.copy_expert(f"COPY (SELECT id, t FROM public.{name} ORDER BY id LIMIT 3) TO STDOUT", out)
show("copy out", out.getvalue())
cur.copy_expert(f"COPY public.{name} (t) FROM STDIN", io.StringIO("".join(f"copied {i}\n" for i in range(5000))))
show("copied", cur.rowcount)
show("bad copy", sqlstate(cur.copy_expert, f"COPY public.{name} (id) FROM STDIN", io.StringIO("x\n")))
conn.rollback()

show("syntax error", sqlstate(cur.execute, "SELEC"))
show("in a failed transaction", sqlstate(cur.execute, "SELECT 1"))
conn.rollback()
show("status", conn.get_transaction_status() == psycopg2.extensions.TRANSACTION_STATUS_IDLE)
cur.execute("DO $$ BEGIN RAISE NOTICE 'to be heard'; END $$")
show("notice", conn.notices[-1])
conn.commit()

conn.set_session(isolation_level="SERIALIZABLE", readonly=True, deferrable=True)
cur.execute("SHOW transaction_isolation")
show("isolation", cur.fetchone())
show("read only", sqlstate(cur.execute, f"DELETE FROM public.{name}"))
conn.rollback()
conn.set_session(isolation_level="DEFAULT", readonly=False, deferrable=False)

conn.autocommit = True
for zone in "Asia/Tokyo", "Europe/Berlin":
    cur.execute("SET TIME ZONE %s", (zone,))
    for _ in range(5):
        cur.execute("SELECT '2026-07-01 12:00:00+00'::timestamptz::text")
        show("time zone", cur.fetchone())
conn.set_client_encoding("LATIN1")
cur.execute("SELECT '\u00e4\u00f6' || chr(252)")
show("latin1", cur.fetchone())
conn.set_client_encoding("UTF8")
cur.execute("SET search_path TO public; SET work_mem = '5MB'")
for _ in range(5):
    cur.execute("SELECT current_setting('search_path'), current_setting('work_mem')")
    show("set in a string", cur.fetchone())
cur.execute("PREPARE stmt (int) AS SELECT $1 + 1")
cur.execute("EXECUTE stmt (41)")
show("prepared", cur.fetchone())

listener = psycopg2.connect(dsn)
listener.autocommit = True
listener.cursor().execute(f"LISTEN {name}")
cur.execute(f"NOTIFY {name}, 'hello'")
select.select([listener], [], [], 5)
listener.poll()
show("notification", [(n.channel, n.payload) for n in listener.notifies])

timer = threading.Timer(0.3, conn.cancel)
timer.start()
show("cancel", sqlstate(cur.execute, "SELECT pg_sleep(20)"))
cur.execute("SELECT 'alive'")
show("after cancel", cur.fetchone())

conn.autocommit = False
lob = conn.lobject(0, "wb")
lob.write(b"large object" * 1000)
oid = lob.oid
lob.close()
conn.commit()
lob = conn.lobject(oid, "rb")
show("large object", len(lob.read()))
lob.close()
conn.lobject(oid).unlink()
conn.commit()

xid = conn.xid(1, name, "branch")
conn.tpc_begin(xid)
cur.execute(f"INSERT INTO public.{name} (t) VALUES ('two phases')")
conn.tpc_prepare()
conn.tpc_commit()
cur.execute(f"SELECT count(*) FROM public.{name} WHERE t = 'two phases'")
show("two phases", cur.fetchone())
conn.rollback()
conn.reset()
cur = conn.cursor()
cur.execute("SELECT current_setting('work_mem'), current_setting('search_path')")
show("after reset", cur.fetchone())
cur.execute(f"DROP TABLE public.{name}")
conn.commit()
conn.close()
listener.close()
