package routing

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/proxy"
)

// servers starts a primary and replicas for one test.
func servers(tb testing.TB, replicas int, settings map[string]string) *pgtest.Cluster {
	tb.Helper()
	all := map[string]string{"max_connections": "300", "fsync": "off", "autovacuum": "off", "hot_standby_feedback": "on"}
	maps.Copy(all, settings)
	c, err := pgtest.Start(context.Background(), pgtest.Options{
		BinDir: os.Getenv("PENSTOCK_TEST_BINDIR"), Replicas: replicas, Settings: all,
	})
	if err != nil {
		tb.Fatalf("%v; make setup installs PostgreSQL", err)
	}
	tb.Cleanup(func() {
		if err := c.Stop(); err != nil {
			tb.Error(err)
		}
	})
	return c
}

// penstock is a Penstock in this process, before a cluster.
type penstock struct {
	server *proxy.Server
	addr   string
	log    *logBuffer
}

// start starts a Penstock before a cluster; routing and pool are TOML text.
func start(tb testing.TB, c *pgtest.Cluster, routing, pool string) *penstock {
	tb.Helper()
	dsn := func(i *pgtest.Instance) string {
		host, port, _ := net.SplitHostPort(i.Addr())
		return fmt.Sprintf("%q", "host="+host+" port="+port+" user=postgres dbname=postgres sslmode=disable")
	}
	var replicas []string
	for _, r := range c.Replicas {
		replicas = append(replicas, dsn(r))
	}
	text := fmt.Sprintf(`
[databases.postgres]
primary = %s
replicas = [%s]
[databases.postgres.routing]
%s
[listen]
address = ["127.0.0.1:0"]
tls = "disable"
[auth]
method = "trust"
[auth.users]
admin = "x"
postgres = "x"
[admin]
users = ["admin"]
[pool]
size = 20
%s
`, dsn(c.Primary), strings.Join(replicas, ","), routing, pool)
	cfg, err := config.Parse("routing.toml", []byte(text), os.Getenv)
	if err != nil {
		tb.Fatal(err)
	}
	users, err := auth.NewUsers(map[string]string{"admin": "x", "postgres": "x"})
	if err != nil {
		tb.Fatal(err)
	}
	p := &penstock{log: &logBuffer{}}
	p.server, err = proxy.New(proxy.Options{
		Config: cfg, Users: users, Version: "routing",
		Log:    slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelInfo})),
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
	tb.Cleanup(func() {
		p.server.Close()
		if err := <-served; err != nil {
			tb.Errorf("Serve: %v", err)
		}
		if tb.Failed() {
			tb.Logf("Penstock's log ends with\n%s", p.log.tail(40))
		}
	})
	return p
}

// connect logs a client in.
func (p *penstock) connect(tb testing.TB, more string) *pgx.Conn {
	tb.Helper()
	conn, err := pgx.Connect(context.Background(), p.dsn(more))
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (p *penstock) dsn(more string) string {
	return fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable&%s", p.addr, more)
}

// ready waits until the catalog and all replicas are known: a simple read goes
// to a replica.
func (p *penstock) ready(tb testing.TB) {
	tb.Helper()
	conn := p.connect(tb, "default_query_exec_mode=simple_protocol")
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		if standby(tb, conn) {
			return
		}
		if time.Now().After(deadline) {
			tb.Fatalf("no read goes to a replica\n%s\n%s", p.routes(), p.log.tail(20))
		}
	}
}

// routes are the decisions so far, for a report.
func (p *penstock) routes() string { return p.server.Routes() }

// standby says whether a harmless read runs on a replica now: its plan tells,
// since transaction_read_only is on only there.
func standby(tb testing.TB, conn *pgx.Conn) bool {
	tb.Helper()
	var on bool
	if err := conn.QueryRow(context.Background(), "/* penstock: replica */ select pg_is_in_recovery()").Scan(&on); err != nil {
		tb.Fatal(err)
	}
	return on
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

func (b *logBuffer) tail(n int) string {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := strings.Split(strings.TrimSpace(b.data.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}
