package attack

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// hangTime is how long an answer may take before a test calls it a hang.
const hangTime = 8 * time.Second

// options of a Penstock under test: keys of its tables.
type options struct {
	listen, auth, pool, log string
}

// toml is the configuration file; trust and a log for programs unless told
// otherwise.
func (o options) toml(port int) string {
	if o.auth == "" {
		o.auth = `method = "trust"`
	}
	if o.log == "" {
		o.log = `format = "json"`
	}
	return fmt.Sprintf(`
[listen]
address = ["127.0.0.1:0"]
%s
[auth]
%s
[log]
level = "info"
%s
[pool]
%s
[databases.postgres]
primary = "host=127.0.0.1 port=%d user=postgres dbname=postgres sslmode=disable"
`, o.listen, o.auth, o.log, o.pool, port)
}

// penstock is a Penstock in a process of its own.
type penstock struct {
	addr    string
	pid     int
	logFile string
}

// start runs cmd/penstock until the end of the test.
func start(tb testing.TB, o options) *penstock {
	tb.Helper()
	port := postgres(tb).Port
	dir := tb.TempDir()
	p := &penstock{logFile: filepath.Join(dir, "log")}
	file := filepath.Join(dir, "penstock.toml")
	if err := os.WriteFile(file, []byte(o.toml(port)), 0o600); err != nil {
		tb.Fatal(err)
	}
	log, err := os.Create(p.logFile)
	if err != nil {
		tb.Fatal(err)
	}
	defer log.Close()
	cmd := exec.CommandContext(context.WithoutCancel(tb.Context()), program(), "run", "--config", file)
	cmd.Stderr = log
	out, err := cmd.StdoutPipe()
	if err != nil {
		tb.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	p.pid = cmd.Process.Pid
	tb.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
			tb.Errorf("Penstock ended by itself: %v", cmd.ProcessState)
		}
		if text := p.log(tb); tb.Failed() || strings.Contains(text, "panic") {
			tb.Errorf("the log ends with\n%s", text[max(0, len(text)-3000):])
		}
	})
	p.addr = awaitReady(tb, out)
	return p
}

// awaitReady reads the address from "ready: point your application at
// postgres://ADDRESS/postgres".
func awaitReady(tb testing.TB, out io.Reader) string {
	tb.Helper()
	buf := make([]byte, 4096)
	n, err := io.ReadAtLeast(out, buf, 1)
	if err != nil {
		tb.Fatalf("Penstock does not start: %v", err)
	}
	_, rest, _ := strings.Cut(string(buf[:n]), "postgres://")
	addr, _, found := strings.Cut(rest, "/")
	if !found {
		tb.Fatalf("no address in %q", buf[:n])
	}
	return addr
}

func (p *penstock) log(tb testing.TB) string {
	tb.Helper()
	data, err := os.ReadFile(p.logFile)
	if err != nil {
		tb.Error(err)
	}
	return string(data)
}

// memory is a value of /proc/PID/status in bytes: VmRSS, or VmHWM for its
// highest since resetPeak.
func (p *penstock) memory(tb testing.TB, what string) int {
	tb.Helper()
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		tb.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(data), what+":")
	number, _, _ := strings.Cut(rest, "kB")
	n, err := strconv.Atoi(strings.TrimSpace(number))
	if err != nil {
		tb.Fatalf("%s: %v", what, err)
	}
	return n * 1024
}

// growth returns by how much the resident memory exceeded, while f ran, what
// it was before: at its highest.
func (p *penstock) growth(tb testing.TB, f func()) int {
	tb.Helper()
	if runtime.GOOS != "linux" {
		tb.Skip("memory is read from /proc")
	}
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", p.pid), []byte("5"), 0); err != nil {
		tb.Fatal(err)
	}
	before := p.memory(tb, "VmRSS")
	f()
	return p.memory(tb, "VmHWM") - before
}

// login logs a client in as postgres, without a password.
func (p *penstock) login(tb testing.TB) *pgtest.Client {
	tb.Helper()
	c, err := pgtest.Dial(tb.Context(), p.addr, app())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = c.Close() })
	return c
}

func app() map[string]string { return map[string]string{"user": "postgres", "database": "postgres"} }

// strangers opens n connections and says the same on each.
func (p *penstock) strangers(tb testing.TB, n int, say []byte) []net.Conn {
	tb.Helper()
	conns := make([]net.Conn, n)
	for i := range conns {
		conns[i] = p.stranger(tb)
		if _, err := conns[i].Write(say); err != nil {
			tb.Fatal(err)
		}
	}
	return conns
}

func (p *penstock) stranger(tb testing.TB) net.Conn {
	tb.Helper()
	conn, err := net.DialTimeout("tcp", p.addr, hangTime)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(hangTime))
	return conn
}

// query runs a simple query and returns its last row's first column.
func query(c *pgtest.Client, sql string) (string, error) {
	if err := c.Send(&pgproto3.Query{String: sql}); err != nil {
		return "", err
	}
	var got string
	var failed error
	for {
		msg, err := c.Receive(hangTime)
		if err != nil {
			return got, err
		}
		switch msg := msg.(type) {
		case *pgproto3.DataRow:
			got = string(msg.Values[0])
		case *pgproto3.ErrorResponse:
			failed = pgconn.ErrorResponseToPgError(msg)
		case *pgproto3.ReadyForQuery:
			return got, failed
		}
	}
}

// frame is a typed message that claims more than it has, if claim is not 0.
func frame(typ byte, body []byte, claim uint32) []byte {
	if claim == 0 {
		claim = uint32(len(body)) + 4
	}
	return append(binary.BigEndian.AppendUint32([]byte{typ}, claim), body...)
}

// startup is a startup message; the names are user and database.
func startup(tb testing.TB, user, database string) []byte {
	tb.Helper()
	data, err := (&pgproto3.StartupMessage{
		ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": user, "database": database},
	}).Encode(nil)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// request is a first packet without a body: SSLRequest or GSSENCRequest.
func request(code uint32) []byte {
	return binary.BigEndian.AppendUint32([]byte{0, 0, 0, 8}, code)
}

const (
	sslRequest = 80877103
	gssRequest = 80877104
)

// lastWords reads to the end of the connection and returns the error told on
// the way, and the bytes before it; nil for a close without a word.
func lastWords(tb testing.TB, conn net.Conn) (before []byte, told *pgconn.PgError) {
	tb.Helper()
	data, err := io.ReadAll(conn)
	if err != nil && !strings.Contains(err.Error(), "reset") {
		tb.Errorf("the connection was not ended: %v", err)
	}
	at := bytes.IndexByte(data, 'E')
	if at < 0 || len(data) < at+5 {
		return data, nil
	}
	var msg pgproto3.ErrorResponse
	if err := msg.Decode(data[at+5:]); err != nil {
		tb.Errorf("no ErrorResponse in %q: %v", data, err)
		return data, nil
	}
	return data[:at], pgconn.ErrorResponseToPgError(&msg)
}

// wantFatal checks an error's severity and code.
func wantFatal(tb testing.TB, e *pgconn.PgError, code string) {
	tb.Helper()
	if e == nil || e.Severity != "FATAL" || e.Code != code {
		tb.Errorf("got %v, want FATAL %s", e, code)
	}
}

// jsonLines checks that each line of a log is an object.
func jsonLines(tb testing.TB, text string) {
	tb.Helper()
	for line := range strings.Lines(text) {
		if !json.Valid([]byte(line)) || line[0] != '{' {
			tb.Errorf("not one message: %.200q", line)
		}
	}
}
