package chaos

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/proxy"
)

// hangTime is how long an answer may take before a test calls it a hang.
const hangTime = 5 * time.Second

// penstock is a Penstock in this process.
type penstock struct {
	server *proxy.Server
	addr   string
	log    *logBuffer
}

// options of a Penstock under test: primary is a server's host:port, and the
// rest is TOML text.
type options struct {
	primary string
	replica string // with routing; "" for none
	size    int
	listen  string // keys of [listen]
	pool    string // keys of [pool]
	auth    string // keys of [auth]; trust if empty
	users   map[string]string
	level   slog.Level
}

// toml is the configuration file.
func (o options) toml() string {
	host, port, _ := net.SplitHostPort(o.primary)
	if o.auth == "" {
		o.auth = `method = "trust"`
	}
	if len(o.users) > 0 {
		o.auth += "\n[auth.users]"
	}
	for name, secret := range o.users {
		o.auth += fmt.Sprintf("\n%s = %q", name, secret)
	}
	replicas := ""
	if o.replica != "" {
		host, port, _ := net.SplitHostPort(o.replica)
		replicas = fmt.Sprintf("replicas = [\"host=%s port=%s\"]\nrouting = { causal_wait = \"50ms\" }", host, port)
	}
	return fmt.Sprintf(`
[databases.postgres]
primary = "host=%s port=%s user=postgres dbname=postgres sslmode=disable"
%s
[listen]
address = ["127.0.0.1:0"]
tls = "disable"
%s
[auth]
%s
[admin]
users = ["admin"]
[pool]
size = %d
%s
`, host, port, replicas, o.listen, o.auth, max(o.size, 1), o.pool)
}

// startPenstock starts one as cmd/penstock does, for one test, and checks at
// its end that no goroutine is left.
func startPenstock(tb testing.TB, o options) *penstock {
	tb.Helper()
	before := runtime.NumGoroutine()
	p, stop := runPenstock(tb, o)
	tb.Cleanup(func() {
		stop()
		if tb.Failed() {
			tb.Logf("Penstock's log ends with\n%s", p.log.tail(40))
		}
		checkGoroutines(tb, before)
	})
	return p
}

// runPenstock starts one and returns the function that stops it.
func runPenstock(tb testing.TB, o options) (*penstock, func()) {
	tb.Helper()
	cfg, err := config.Parse("chaos.toml", []byte(o.toml()), os.Getenv)
	if err != nil {
		tb.Fatal(err)
	}
	var users *auth.Users
	if o.users != nil {
		if users, err = auth.NewUsers(o.users); err != nil {
			tb.Fatal(err)
		}
	}
	p := &penstock{log: &logBuffer{}}
	p.server, err = proxy.New(proxy.Options{
		Config: cfg, Users: users, Version: "chaos",
		Log:    slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: o.level})),
		Reload: func() (string, error) { return "", nil },
		Stop:   func(admin.ShutdownMode) {},
	})
	if err != nil {
		tb.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p.addr = l.Addr().String()
	served := make(chan error, 1)
	go func() { served <- p.server.Serve(l) }()
	return p, func() {
		p.server.Close()
		if err := <-served; err != nil {
			tb.Errorf("Serve: %v", err)
		}
	}
}

// checkGoroutines waits until as few goroutines run as before.
func checkGoroutines(tb testing.TB, before int) {
	tb.Helper()
	for deadline := time.Now().Add(hangTime); runtime.NumGoroutine() > before; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Errorf("%d goroutines are left behind:\n%s", runtime.NumGoroutine()-before, stacks())
			return
		}
	}
}

// stacks are those of all goroutines.
func stacks() []byte {
	buf := make([]byte, 8<<20)
	return buf[:runtime.Stack(buf, true)]
}

// logBuffer keeps what a Penstock logs.
type logBuffer struct {
	mu   sync.Mutex
	data bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.Write(p)
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.data.String()
}

func (b *logBuffer) tail(n int) string {
	lines := strings.Split(strings.TrimSpace(b.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// app are the startup parameters of an ordinary client.
func app(more ...string) map[string]string {
	params := map[string]string{"user": "postgres", "database": "postgres"}
	for i := 0; i+1 < len(more); i += 2 {
		params[more[i]] = more[i+1]
	}
	return params
}

// dial logs a client in.
func (p *penstock) dial(tb testing.TB) *pgtest.Client {
	tb.Helper()
	c, err := pgtest.Dial(tb.Context(), p.addr, app())
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// show runs SHOW on the console and returns the rows, column name to value.
func (p *penstock) show(tb testing.TB, table string) []map[string]string {
	tb.Helper()
	c, err := pgtest.Dial(context.WithoutCancel(tb.Context()), p.addr, map[string]string{"user": "admin", "database": "penstock"})
	if err != nil {
		tb.Fatal(err)
	}
	defer c.Close()
	rows, err := query(c, "SHOW "+table)
	if err != nil {
		tb.Fatal(err)
	}
	return rows
}

// query runs a simple query and returns its rows, column name to value.
func query(c *pgtest.Client, sql string) ([]map[string]string, error) {
	if err := c.Send(&pgproto3.Query{String: sql}); err != nil {
		return nil, err
	}
	var names []string
	var rows []map[string]string
	var failed error
	for {
		msg, err := c.Receive(hangTime)
		if err != nil {
			return rows, err
		}
		switch msg := msg.(type) {
		case *pgproto3.RowDescription:
			names, rows = nil, nil
			for _, f := range msg.Fields {
				names = append(names, string(f.Name))
			}
		case *pgproto3.DataRow:
			row := map[string]string{}
			for i, v := range msg.Values {
				row[names[i]] = string(v)
			}
			rows = append(rows, row)
		case *pgproto3.ErrorResponse:
			failed = fmt.Errorf("%s: %s %s: %s", sql, msg.Severity, msg.Code, msg.Message)
		case *pgproto3.ReadyForQuery:
			return rows, failed
		}
	}
}

// value runs a simple query and returns the first column of its last row.
func value(c *pgtest.Client, sql string) (string, error) {
	rows, err := query(c, sql)
	if err != nil {
		return "", err
	}
	if len(rows) != 1 || len(rows[0]) != 1 {
		return "", fmt.Errorf("%s: got %v, want one value", sql, rows)
	}
	for _, v := range rows[0] {
		return v, nil
	}
	return "", nil
}

// number is an integer column of a row of SHOW.
func number(tb testing.TB, row map[string]string, column string) int {
	tb.Helper()
	n, err := strconv.Atoi(row[column])
	if err != nil {
		tb.Fatalf("column %s of %v: %v", column, row, err)
	}
	return n
}

// waitQuiet waits until no server connection is in use any more.
func (p *penstock) waitQuiet(tb testing.TB) {
	tb.Helper()
	if err := p.quiet(tb); err != nil {
		doing, _ := postgres(tb).Query(context.WithoutCancel(tb.Context()), "postgres",
			"select pid, state, wait_event, now() - query_start, left(query, 80) from pg_stat_activity where backend_type = 'client backend'")
		tb.Errorf("%v\nPostgreSQL does %q\nPenstock's sessions: %v", err, doing, p.show(tb, "CLIENTS"))
	}
}

func (p *penstock) quiet(tb testing.TB) error {
	tb.Helper()
	var rows []map[string]string
	for deadline := time.Now().Add(hangTime); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		busy := 0
		rows = p.show(tb, "POOLS")
		for _, row := range rows {
			for _, column := range []string{"cl_waiting", "sv_active", "sv_active_cancel", "sv_being_canceled"} {
				busy += number(tb, row, column)
			}
		}
		if busy == 0 {
			return nil
		}
	}
	return fmt.Errorf("server connections stay in use: %v", rows)
}

// seedOf returns the seed of a random test and prints it.
func seedOf(tb testing.TB, fixed uint64) uint64 {
	tb.Helper()
	if s := os.Getenv("PENSTOCK_CHAOS_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			tb.Fatal(err)
		}
		fixed = n
	}
	tb.Logf("seed %d", fixed)
	return fixed
}

// soak is the factor by which PENSTOCK_SOAK makes a random test longer than
// usual, which takes about the given time.
func soak(tb testing.TB, usual time.Duration) int {
	tb.Helper()
	s := os.Getenv("PENSTOCK_SOAK")
	if s == "" {
		return 1
	}
	if d, err := time.ParseDuration(s); err == nil {
		return max(1, int(d/usual))
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		tb.Fatalf("PENSTOCK_SOAK=%q is neither a duration nor a factor", s)
	}
	return max(1, n)
}
