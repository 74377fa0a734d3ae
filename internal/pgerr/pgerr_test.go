package pgerr_test

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgerr"
)

// decode reads back what a client would see.
func decode(t *testing.T, frame []byte) *pgproto3.ErrorResponse {
	t.Helper()
	if len(frame) < 5 || frame[0] != 'E' {
		t.Fatalf("not an ErrorResponse: %q", frame)
	}
	length := int(frame[1])<<24 | int(frame[2])<<16 | int(frame[3])<<8 | int(frame[4])
	if length != len(frame)-1 {
		t.Fatalf("length field %d, frame has %d bytes behind its type", length, len(frame)-1)
	}
	var m pgproto3.ErrorResponse
	if err := m.Decode(frame[5:]); err != nil {
		t.Fatalf("decode %q: %v", frame, err)
	}
	return &m
}

func TestEveryErrorHasItsCodeSeverityAndWording(t *testing.T) {
	t.Parallel()
	lost := errors.New("server read: reset")
	rows := []struct {
		name     string
		err      *pgerr.Error
		severity string
		code     string
		message  string
		detail   string // substring
		hint     string // substring
	}{
		{"unknown frame type", pgerr.InvalidMessageType('z'), "FATAL", "08P01", "invalid frontend message type 122", "", ""},
		{"frame length below four", pgerr.InvalidMessageLength(), "FATAL", "08P01", "invalid message length", "", ""},
		{"frame body too short", pgerr.InvalidMessageFormat(), "FATAL", "08P01", "invalid message format", "", ""},
		{"startup length", pgerr.InvalidStartupLength(), "FATAL", "08P01", "invalid length of startup packet", "", ""},
		{"startup without terminator", pgerr.InvalidStartupLayout(), "FATAL", "08P01", "invalid startup packet layout: expected terminator as last byte", "", ""},
		{"query instead of password", pgerr.UnexpectedMessage("password", 'Q'), "FATAL", "08P01", "expected password response, got message type 81", "", ""},
		{"bytes behind SSLRequest", pgerr.StuffedBeforeTLS(), "FATAL", "08P01", "received unencrypted data after SSL request", "man-in-the-middle", ""},
		{"SCRAM message", pgerr.MalformedSCRAM("The message is empty."), "FATAL", "08P01", "malformed SCRAM message", "The message is empty.", ""},
		{"SCRAM extension", pgerr.UnsupportedSCRAM("client requires an unsupported SCRAM extension"), "FATAL", "0A000", "client requires an unsupported SCRAM extension", "", ""},
		{"other violation", pgerr.Violation("invalid message: x"), "FATAL", "08P01", "invalid message: x", "", ""},
		{"protocol 2.0", pgerr.UnsupportedProtocol(2, 0), "FATAL", "0A000", "unsupported frontend protocol 2.0: server supports 3.0 to 3.2", "", ""},
		{"frame larger than limit", pgerr.FrameTooLarge(1<<31, 1<<20, "listen.max_message"), "FATAL", "54000", "message too large", "2147483648 bytes; the limit is 1048576", "listen.max_message"},
		{"max clients reached", pgerr.TooManyClients(100), "FATAL", "53300", "sorry, too many clients already", "100 clients", "listen.max_clients"},
		{"waited too long", pgerr.WaitTimeout(120*time.Second, 7, 20), "ERROR", "53300", "timed out waiting for a server connection", "2m0s with 7 clients queued for 20 server connections", "pool.query_wait_timeout"},
		{"unknown database", pgerr.UnknownDatabase("shop"), "FATAL", "3D000", `database "shop" does not exist`, "", "[databases]"},
		{"wrong password", pgerr.WrongPassword("ann"), "FATAL", "28P01", `password authentication failed for user "ann"`, "", ""},
		{"no user name", pgerr.NoUserName(), "FATAL", "28000", "no PostgreSQL user name specified in startup packet", "", ""},
		{"no rule", pgerr.NoRule("10.0.0.9", "ann", "shop", false), "FATAL", "28000", `no pg_hba.conf entry for host "10.0.0.9", user "ann", database "shop", no encryption`, "", "auth.hba_file"},
		{"no rule over TLS", pgerr.NoRule("10.0.0.9", "ann", "shop", true), "FATAL", "28000", `no pg_hba.conf entry for host "10.0.0.9", user "ann", database "shop", SSL encryption`, "", "auth.hba_file"},
		{"TLS required", pgerr.TLSRequired(), "FATAL", "28000", "connection requires TLS", "", "listen.tls"},
		{"login took too long", pgerr.LoginTimeout(time.Minute), "FATAL", "57014", "canceling authentication due to timeout", "1m0s", "login_timeout"},
		{"console user not listed", pgerr.NotPermitted("ann", "penstock"), "FATAL", "42501", `permission denied for database "penstock"`, `"ann"`, "admin.users"},
		{"host down", pgerr.CannotConnect("shop", 3, fmt.Errorf("dial 10.0.0.1: %w", syscall.ECONNREFUSED), 2*time.Second), "ERROR", "57P03", `cannot connect to the server of database "shop"`, "3 attempts failed; last error: connection refused. The next attempt is in 2s.", "configuration"},
		{"paused", pgerr.Paused("shop"), "ERROR", "57P03", `database "shop" is paused`, "", "RESUME"},
		{"disabled", pgerr.Disabled("shop"), "FATAL", "57P03", `database "shop" is not currently accepting connections`, "", "ENABLE"},
		{"no primary yet", pgerr.NoPrimary("shop"), "ERROR", "57P03", `database "shop" has no primary server now`, "", "primary"},
		{"host starting", pgerr.StartingUp(), "FATAL", "57P03", "the database system is starting up", "", ""},
		{"server lost outside a transaction", pgerr.ServerLost('I', lost), "ERROR", "08006", "server closed the connection unexpectedly", "may or may not", ""},
		{"server lost in a transaction", pgerr.ServerLost('T', lost), "FATAL", "08006", "server closed the connection unexpectedly", "rolls it back", ""},
		{"server lost in a failed transaction", pgerr.ServerLost('E', lost), "FATAL", "08006", "server closed the connection unexpectedly", "rolls it back", ""},
		{"server lost in COMMIT", pgerr.CommitUnknown(lost), "FATAL", "08007", "server closed the connection unexpectedly during COMMIT", "may or may not have been committed", "before trying again"},
		{"write on a replica", pgerr.ReadOnly("INSERT"), "ERROR", "25006", "cannot execute INSERT in a read-only transaction", "replicas", ""},
		{"not in transaction mode", pgerr.NotInThisMode("LISTEN", "transaction"), "ERROR", "0A000", "LISTEN is not possible in transaction pooling", "", `pool.mode to "session"`},
		{"not in statement mode", pgerr.NotInThisMode("BEGIN", "statement"), "ERROR", "0A000", "BEGIN is not possible in statement pooling", "", `"transaction" or "session"`},
		{"not in any mode", pgerr.NotSupported("GSSAPI"), "ERROR", "0A000", "GSSAPI is not supported", "", ""},
		{"user cancel", pgerr.Canceled(), "ERROR", "57014", "canceling statement due to user request", "", ""},
		{"statement too long", pgerr.QueryTooLong(time.Second), "ERROR", "57014", "canceling statement due to statement timeout", "1s", "pool.query_timeout"},
		{"client idle", pgerr.IdleClient(time.Hour), "FATAL", "57P05", "terminating connection due to idle-session timeout", "1h0m0s", "pool.client_idle_timeout"},
		{"idle in transaction", pgerr.IdleTransaction(time.Second), "FATAL", "25P03", "terminating connection due to idle-in-transaction timeout", "1s", "pool.idle_transaction_timeout"},
		{"transaction too long", pgerr.TransactionTooLong(1500 * time.Millisecond), "FATAL", "25P04", "terminating connection due to transaction timeout", "1.5s", "pool.transaction_timeout"},
		{"shutdown", pgerr.Shutdown(), "FATAL", "57P01", "terminating connection due to administrator command", "", ""},
		{"unknown statement", pgerr.UnknownStatement("s1"), "ERROR", "26000", `prepared statement "s1" does not exist`, "", ""},
		{"unknown unnamed statement", pgerr.UnknownStatement(""), "ERROR", "26000", "unnamed prepared statement does not exist", "", ""},
		{"duplicate statement", pgerr.DuplicateStatement("s1"), "ERROR", "42P05", `prepared statement "s1" already exists`, "", ""},
		{"unknown portal", pgerr.UnknownPortal("c1"), "ERROR", "34000", `portal "c1" does not exist`, "", ""},
		{"failed transaction", pgerr.InFailedTransaction(), "ERROR", "25P02", "current transaction is aborted, commands ignored until end of transaction block", "", ""},
		{"console syntax", pgerr.Syntax("POLS"), "ERROR", "42601", `syntax error at or near "POLS"`, "", "SHOW HELP"},
		{"console syntax at the end", pgerr.Syntax(""), "ERROR", "42601", "syntax error at end of input", "", "SHOW HELP"},
		{"console unknown object", pgerr.UnknownObject("database", "x"), "ERROR", "42704", `database "x" does not exist`, "", ""},
		{"console unknown setting", pgerr.UnknownObject("unrecognized configuration parameter", "x"), "ERROR", "42704", `unrecognized configuration parameter "x"`, "", ""},
		{"console value", pgerr.InvalidValue("pool.size", "many"), "ERROR", "22023", `invalid value for parameter "pool.size": "many"`, "", ""},
		{"console denied", pgerr.Denied("KILL"), "ERROR", "42501", "permission denied for command KILL", "", "admin.users"},
		{"console not now", pgerr.NotNow("database is not paused"), "ERROR", "55000", "database is not paused", "", ""},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			m := decode(t, row.err.Append(nil))
			if m.Severity != row.severity || m.SeverityUnlocalized != row.severity {
				t.Errorf("severity %q/%q, want %q", m.Severity, m.SeverityUnlocalized, row.severity)
			}
			if m.Code != row.code || row.err.SQLState() != row.code {
				t.Errorf("code %q, want %q", m.Code, row.code)
			}
			if m.Message != row.message {
				t.Errorf("message %q, want %q", m.Message, row.message)
			}
			if !strings.Contains(m.Detail, row.detail) || (row.detail == "") != (m.Detail == "") {
				t.Errorf("detail %q, want %q", m.Detail, row.detail)
			}
			if !strings.Contains(m.Hint, row.hint) || (row.hint == "") != (m.Hint == "") {
				t.Errorf("hint %q, want %q", m.Hint, row.hint)
			}
			if row.err.ID() != "" {
				t.Errorf("an expected error has the id %q", row.err.ID())
			}
		})
	}
}

func TestLostServerKeepsItsCauseForTheLogOnly(t *testing.T) {
	t.Parallel()
	for _, e := range []*pgerr.Error{
		pgerr.ServerLost('T', io.ErrUnexpectedEOF),
		pgerr.CommitUnknown(io.ErrUnexpectedEOF),
		pgerr.CannotConnect("shop", 1, io.ErrUnexpectedEOF, 0),
	} {
		if !errors.Is(e, io.ErrUnexpectedEOF) || !strings.Contains(e.Error(), "unexpected EOF") {
			t.Errorf("cause lost: %v", e)
		}
		if strings.Contains(string(e.Append(nil)), "unexpected EOF") {
			t.Errorf("client sees the cause: %q", e.Append(nil))
		}
	}
}

func TestRefusalOfAServerKeepsItsCode(t *testing.T) {
	t.Parallel()
	last := &pgconn.PgError{Severity: "FATAL", Code: "53300", Message: "sorry, too many clients already"}
	e := pgerr.CannotConnect("shop", 1, fmt.Errorf("login: %w", last), 0)
	if e.Code != pgerr.TooManyConnections || e.Severity != pgerr.SeverityError {
		t.Errorf("got %s %s", e.Severity, e.Code)
	}
	if want := "1 attempt failed; last error: sorry, too many clients already."; e.Detail != want {
		t.Errorf("detail %q, want %q", e.Detail, want)
	}
	last.Code = "" // CVE-2026-6666
	if e := pgerr.CannotConnect("shop", 1, last, 0); e.Code != pgerr.CannotConnectNow {
		t.Errorf("an error without code became %q", e.Code)
	}
}

func TestAddressesOfServersDoNotReachClients(t *testing.T) {
	t.Parallel()
	e := pgerr.CannotConnect("shop", 2, errors.New("dial tcp 10.1.2.3:5432: strange"), time.Second)
	if strings.Contains(string(e.Append(nil)), "10.1.2.3") {
		t.Errorf("client sees %q", e.Append(nil))
	}
}

func TestFatalAndWithReturnCopies(t *testing.T) {
	t.Parallel()
	e := pgerr.Paused("shop")
	cause := errors.New("why")
	f := e.Fatal().With(cause)
	if f.Severity != pgerr.SeverityFatal || !errors.Is(f, cause) {
		t.Errorf("got %s %v", f.Severity, f)
	}
	if e.Severity != pgerr.SeverityError || errors.Is(e, cause) {
		t.Errorf("the original changed: %s %v", e.Severity, e)
	}
}

func TestFrameNeverCarriesANulInsideAField(t *testing.T) {
	t.Parallel()
	e := &pgerr.Error{Code: "bad\x00", Message: "a\x00b", Detail: "c\x00", Hint: "\x00d"}
	m := decode(t, e.Append(nil))
	if m.Severity != "ERROR" || m.Code != "XX000" || m.Message != "a?b" || m.Detail != "c?" || m.Hint != "?d" {
		t.Errorf("got %+v", m)
	}
}

func TestAppendKeepsWhatStoodBefore(t *testing.T) {
	t.Parallel()
	got := pgerr.Canceled().Append([]byte("before"))
	if !strings.HasPrefix(string(got), "before") {
		t.Fatalf("got %q", got)
	}
	decode(t, got[len("before"):])
}

func TestNoticeIsANoticeResponse(t *testing.T) {
	t.Parallel()
	frame := pgerr.AppendNotice(nil, "00000", "pool is small", "2 connections")
	if frame[0] != 'N' || int(frame[4]) != len(frame)-1 {
		t.Fatalf("frame %q", frame)
	}
	var m pgproto3.NoticeResponse
	if err := m.Decode(frame[5:]); err != nil {
		t.Fatal(err)
	}
	if m.Severity != "NOTICE" || m.Code != "00000" || m.Message != "pool is small" || m.Detail != "2 connections" {
		t.Errorf("got %+v", m)
	}
}

func TestNamesFromClientsAreCutAndEscaped(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 62)
	rows := []struct{ name, in, want string }{
		{"plain", "shop", "shop"},
		{"empty", "", ""},
		{"space and quotes stay", `a "b"`, `a "b"`},
		{"letters of other scripts stay", "日本é", "日本é"},
		{"ESC", "a\x1b[31m", `a\x1b[31m`},
		{"NUL and new line", "a\x00\n", `a\x00\x0a`},
		{"DEL", "\x7f", `\x7f`},
		{"C1 control", "\u0085", `\xc2\x85`},
		{"right-to-left override", "\u202e", `\xe2\x80\xae`},
		{"no UTF-8", "a\xff\xc3", `a\xff\xc3`},
		{"a true replacement character stays", "\ufffd", "\ufffd"},
		{"63 bytes stay", long + "b", long + "b"},
		{"64 bytes are cut", long + "bc", long + "b"},
		{"no half characters", long + "é", long},
		{"long garbage", strings.Repeat("\x80", 10000), strings.Repeat(`\x80`, 59)},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			if got := pgerr.Name(row.in); got != row.want {
				t.Errorf("Name(%q) = %q, want %q", row.in, got, row.want)
			}
			if got := pgerr.UnknownDatabase(row.in).Message; got != `database "`+row.want+`" does not exist` {
				t.Errorf("message %q", got)
			}
		})
	}
}
