package integration

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/admin"
)

func TestPauseHoldsQueriesBack(t *testing.T) {
	p := open(t, house(t).Config())
	admin, conn := console(t, p), connect(t, p.DSN("tx"))
	for _, commands := range [][2]string{{"PAUSE", "RESUME"}, {"PAUSE tx", "RESUME tx"}} {
		expect(t, conn, "SELECT 1", "1")
		query(t, admin, commands[0])
		done := start(conn, "SELECT 'later'")
		select {
		case err := <-done:
			t.Fatalf("%s holds nobody back: %v", commands[0], err)
		case <-time.After(200 * time.Millisecond):
		}
		query(t, admin, commands[1])
		if err := wait(t, done); err != nil {
			t.Error(err)
		}
	}
}

// PAUSE waits for open transactions, which go on.
func TestPauseWaitsForTransactions(t *testing.T) {
	p := open(t, house(t).Config())
	admin, conn := console(t, p), connect(t, p.DSN("tx"))
	query(t, conn, "BEGIN")
	paused := start(admin, "PAUSE tx")
	time.Sleep(100 * time.Millisecond)
	expect(t, conn, "SELECT 'goes on'", "goes on")
	select {
	case err := <-paused:
		t.Fatalf("PAUSE did not wait: %v", err)
	default:
	}
	query(t, conn, "COMMIT")
	if err := wait(t, paused); err != nil {
		t.Error(err)
	}
	query(t, admin, "RESUME tx")
	expect(t, conn, "SELECT 1", "1")
}

// RECONNECT replaces server connections as they become free; nobody notices.
func TestReconnectReplacesServerConnections(t *testing.T) {
	p := open(t, house(t).Config())
	admin, idle, busy := console(t, p), connect(t, p.DSN("tx")), connect(t, p.DSN("tx"))
	query(t, busy, "BEGIN")
	held := value(t, busy, "SELECT pg_backend_pid()")
	before := value(t, idle, "SELECT pg_backend_pid()")
	noise(t, p.DSN("tx"), 3)
	query(t, admin, "RECONNECT tx")
	for range 20 {
		if pid := value(t, idle, "SELECT pg_backend_pid()"); pid == before {
			t.Fatal("still the old server connection")
		}
	}
	expect(t, busy, "SELECT pg_backend_pid()", held)
	query(t, busy, "COMMIT")
	waited := start(admin, "WAIT_CLOSE tx")
	if err := wait(t, waited); err != nil {
		t.Error(err)
	}
	if pid := value(t, busy, "SELECT pg_backend_pid()"); pid == held {
		t.Error("the server connection of the transaction was kept")
	}
}

func TestKillEndsADatabasesClients(t *testing.T) {
	p := open(t, house(t).Config())
	admin, victim, other := console(t, p), connect(t, p.DSN("tx")), connect(t, p.DSN("sess"))
	expect(t, victim, "SELECT 1", "1")
	expect(t, other, "SELECT 1", "1")
	query(t, admin, "KILL tx")
	_, err := try(victim, "SELECT 1")
	refused(t, err, "FATAL", "57P01")
	expect(t, other, "SELECT 'alive'", "alive")
	query(t, admin, "RESUME tx")
	expect(t, connect(t, p.DSN("tx")), "SELECT 1", "1")
}

func TestKillClientEndsOne(t *testing.T) {
	p := open(t, house(t).Config())
	admin, victim, other := console(t, p), connect(t, p.DSN("tx")), connect(t, p.DSN("tx"))
	query(t, victim, "SELECT 1")
	rows := query(t, admin, "SHOW CLIENTS")
	id := rows[0][len(rows[0])-1] // the oldest comes first; its id stands last
	query(t, admin, "KILL_CLIENT "+id)
	_, err := try(victim, "SELECT 1")
	refused(t, err, "FATAL", "57P01")
	expect(t, other, "SELECT 'alive'", "alive")
}

func TestDisableRefusesNewClients(t *testing.T) {
	p := open(t, house(t).Config())
	admin, conn := console(t, p), connect(t, p.DSN("tx"))
	query(t, admin, "DISABLE tx")
	_, err := tryConnect(t, p.DSN("tx"))
	if err == nil {
		t.Error("a disabled database lets clients in")
	}
	expect(t, conn, "SELECT 'stays'", "stays")
	query(t, admin, "ENABLE tx")
	expect(t, connect(t, p.DSN("tx")), "SELECT 1", "1")
}

// A RELOAD is all or nothing.
func TestReloadIsAllOrNothing(t *testing.T) {
	h := house(t)
	good := h.Config("[listen]", "max_clients = 50")
	p := open(t, good)
	admin, conn := console(t, p), connect(t, p.DSN("tx"))
	config := func() string { return fmt.Sprint(query(t, admin, "SHOW CONFIG")) }
	before := config()
	for name, text := range map[string]string{
		"syntax":         good + "\n[[[",
		"unknown key":    strings.Replace(good, "max_clients = 50", "max_clients = 60\nmax_clientss = 70", 1),
		"wrong value":    strings.Replace(good, "max_clients = 50", "max_clients = 60\nlogin_timeout = \"soon\"", 1),
		"no certificate": strings.Replace(good, "max_clients = 50", "max_clients = 60\ntls_cert_file = \"/nowhere.pem\"\ntls_key_file = \"/nowhere.key\"", 1),
		"nothing at all": "",
	} {
		t.Run(name, func(t *testing.T) {
			p.Rewrite(text)
			if _, err := try(admin, "RELOAD"); err == nil {
				t.Error("RELOAD takes it")
			}
			if after := config(); after != before {
				t.Error("something has changed")
			}
			expect(t, conn, "SELECT 1", "1")
			expect(t, connect(t, p.DSN("tx")), "SELECT 1", "1")
		})
	}
	p.Rewrite(strings.Replace(good, "max_clients = 50", "max_clients = 60", 1) + pool(h, "new", "size = 1"))
	query(t, admin, "RELOAD")
	if after := config(); after == before {
		t.Error("a good file changes nothing")
	}
	expect(t, conn, "SELECT 'stays'", "stays")
	expect(t, connect(t, p.DSN("new")), "SELECT 'new'", "new")
}

// Under load nobody notices a RELOAD.
func TestReloadUnderLoad(t *testing.T) {
	p := open(t, house(t).Config())
	noise(t, p.DSN("tx"), 4)
	admin := console(t, p)
	began := time.Now()
	for n := 0; n < 100 || time.Since(began) < 2*time.Second; n++ {
		query(t, admin, "RELOAD")
	}
}

// SHUTDOWN WAIT_FOR_SERVERS lets transactions end, tells the others 57P01 and
// lets nobody in.
func TestShutdownDrains(t *testing.T) {
	p := open(t, house(t).Config())
	busy, idle := connect(t, p.DSN("tx")), connect(t, p.DSN("tx"))
	query(t, busy, "BEGIN")
	query(t, idle, "SELECT 1")
	query(t, console(t, p), "SHUTDOWN WAIT_FOR_SERVERS")
	select {
	case mode := <-p.Stops():
		if mode != admin.ShutdownWaitForServers {
			t.Fatalf("asked for %v", mode)
		}
	case <-time.After(patience):
		t.Fatal("SHUTDOWN asks for nothing")
	}
	p.Server.Drain() // what cmd/penstock does then
	_, err := try(idle, "SELECT 1")
	refused(t, err, "FATAL", "57P01")
	if _, err := tryConnect(t, p.DSN("tx")); err == nil {
		t.Error("somebody was let in")
	}
	expect(t, busy, "SELECT 'goes on'", "goes on")
	query(t, busy, "COMMIT")
	eventually(t, "the end of the last session", func() bool { return p.Server.Clients() == 0 })
}
