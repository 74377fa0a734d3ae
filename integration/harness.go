package integration

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/auth"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/internal/pgtest"
	"github.com/penstock/penstock/proxy"
)

// House is a PostgreSQL cluster whose primary serves every Penstock of a test
// package.
type House struct {
	Cluster *pgtest.Cluster
}

// Start starts the cluster of a test package. Options may be zero; the folder
// of the server programs comes from PENSTOCK_TEST_BINDIR if it is set.
func Start(ctx context.Context, o pgtest.Options) (*House, error) {
	if o.BinDir == "" {
		o.BinDir = os.Getenv("PENSTOCK_TEST_BINDIR")
	}
	settings := map[string]string{"max_connections": "200", "max_prepared_transactions": "10", "fsync": "off"}
	maps.Copy(settings, o.Settings)
	o.Settings = settings
	c, err := pgtest.Start(ctx, o)
	if err != nil {
		return nil, err
	}
	h := &House{Cluster: c}
	err = c.Primary.Exec(ctx, "postgres", `CREATE ROLE app LOGIN PASSWORD 'app-secret';
		CREATE ROLE reader; GRANT reader TO app; CREATE ROLE penstock LOGIN`)
	if err == nil {
		err = h.Prepare(ctx, "postgres")
	}
	if err != nil {
		return nil, errors.Join(err, c.Stop())
	}
	return h, nil
}

// Prepare makes in a database what noisy clients need: a schema for each.
func (h *House) Prepare(ctx context.Context, database string) error {
	var b strings.Builder
	for i := range MaxNoise {
		fmt.Fprintf(&b, `CREATE SCHEMA %s; CREATE VIEW %[1]s.whose AS SELECT '%[1]s' AS schema;
			GRANT USAGE ON SCHEMA %[1]s TO PUBLIC; GRANT SELECT ON %[1]s.whose TO PUBLIC;`, noiseSchema(i))
	}
	return h.Cluster.Primary.Exec(ctx, database, b.String())
}

// Stop stops the cluster.
func (h *House) Stop() error { return h.Cluster.Stop() }

// Primary is the DSN of the primary's database, for the configuration.
func (h *House) Primary() string { return h.dsn(h.Cluster.Primary) }

func (h *House) dsn(i *pgtest.Instance) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d dbname=postgres", i.Port)
}

// Config is TOML for the databases tx, sess and stmt, in transaction, session
// and statement mode, on the same primary; and, where there is a replica, routed,
// in transaction mode on both. Lines of extra stand in front.
func (h *House) Config(extra ...string) string {
	var b strings.Builder
	text := strings.Join(extra, "\n")
	b.WriteString(text)
	if !strings.Contains(text, "[auth]") {
		b.WriteString("\n[auth]\nmethod = \"trust\"\n")
	}
	for _, d := range []struct {
		name, mode string
		size       int
	}{{"tx", "transaction", 4}, {"sess", "session", 12}, {"stmt", "statement", 4}} {
		fmt.Fprintf(&b, "\n[databases.%s]\nprimary = %q\npool = { mode = %q, size = %d }\n", d.name, h.Primary(), d.mode, d.size)
	}
	if len(h.Cluster.Replicas) > 0 {
		fmt.Fprintf(&b, "\n[databases.routed]\nprimary = %q\nreplicas = [%q]\nmonitor = \"user=postgres\"\npool = { mode = \"transaction\", size = 4 }\n",
			h.Primary(), h.dsn(h.Cluster.Replicas[0]))
		b.WriteString("[databases.routed.routing]\ncausal_wait = \"2s\"\n")
	}
	return b.String()
}

// Penstock is a pooler in this process.
type Penstock struct {
	Server *proxy.Server
	// Addr is the host and port it listens on; Dir is the folder of its unix
	// socket, "" without.
	Addr string
	Dir  string

	log      *LogBuffer
	stopped  chan struct{} // closed by the console's SHUTDOWN and by Close
	stopOnce sync.Once
	modes    chan admin.ShutdownMode
	serving  sync.WaitGroup

	// mu guards the text that the next RELOAD reads.
	mu   sync.Mutex
	text string
}

// LogBuffer gathers what a Penstock logs.
type LogBuffer struct {
	// mu guards b.
	mu sync.Mutex
	b  strings.Builder
}

// Write appends to the log.
func (l *LogBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns the whole log.
func (l *LogBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Open starts a Penstock from the text of a configuration, on a free port.
func Open(text string) (*Penstock, error) {
	cfg, users, tlsConfig, err := read(text)
	if err != nil {
		return nil, err
	}
	p := &Penstock{text: text, log: &LogBuffer{}, stopped: make(chan struct{}), modes: make(chan admin.ShutdownMode, 8)}
	p.Server, err = proxy.New(proxy.Options{
		Config: cfg, Users: users, TLS: tlsConfig, Version: "test",
		Log:    slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Reload: p.reload,
		Stop:   func(m admin.ShutdownMode) { p.modes <- m },
	})
	if err != nil {
		return nil, err
	}
	listeners, err := p.listen(cfg.Listen)
	if err != nil {
		p.Server.Close()
		return nil, err
	}
	for _, l := range listeners {
		p.serving.Go(func() { _ = p.Server.Serve(l) })
	}
	return p, nil
}

func (p *Penstock) listen(cfg config.Listen) ([]net.Listener, error) {
	tcp, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p.Addr = tcp.Addr().String()
	if cfg.UnixSocketDir == "" {
		return []net.Listener{tcp}, nil
	}
	p.Dir = cfg.UnixSocketDir
	unix, err := net.Listen("unix", p.Dir+"/.s.PGSQL."+p.Port())
	if err != nil {
		return nil, errors.Join(err, tcp.Close())
	}
	return []net.Listener{tcp, unix}, nil
}

// read checks a configuration and reads what it names.
func read(text string) (*config.Config, *auth.Users, *tls.Config, error) {
	cfg, err := config.Parse("penstock.toml", []byte(text), os.Getenv)
	if err != nil {
		return nil, nil, nil, err
	}
	var users *auth.Users
	if cfg.Auth.Method != "trust" || len(cfg.Auth.Users) > 0 {
		if users, err = auth.NewUsers(cfg.Auth.Users); err != nil {
			return nil, nil, nil, err
		}
	}
	if cfg.Listen.TLS == "disable" || cfg.Listen.TLSCertFile == "" {
		return cfg, users, nil, nil
	}
	cert, err := tls.LoadX509KeyPair(cfg.Listen.TLSCertFile, cfg.Listen.TLSKeyFile)
	if err != nil {
		return nil, nil, nil, err
	}
	return cfg, users, &tls.Config{Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS12}, nil
}

// Rewrite replaces the text that the console's RELOAD reads.
func (p *Penstock) Rewrite(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.text = text
}

func (p *Penstock) reload() (string, error) {
	p.mu.Lock()
	text := p.text
	p.mu.Unlock()
	cfg, users, tlsConfig, err := read(text)
	if err != nil {
		return "", err
	}
	return "", p.Server.Apply(cfg, users, tlsConfig)
}

// Stops tells the modes of the console's SHUTDOWN commands.
func (p *Penstock) Stops() <-chan admin.ShutdownMode { return p.modes }

// Log returns what Penstock has logged.
func (p *Penstock) Log() string { return p.log.String() }

// Port is the port of Addr.
func (p *Penstock) Port() string {
	_, port, _ := net.SplitHostPort(p.Addr)
	return port
}

// DSN is the connection string of a database for user postgres, without TLS.
func (p *Penstock) DSN(database string) string { return p.DSNOf("postgres", database) }

// DSNOf is the connection string of a database for a user, without TLS.
func (p *Penstock) DSNOf(user, database string) string {
	return fmt.Sprintf("host=127.0.0.1 port=%s user=%s dbname=%s sslmode=disable", p.Port(), user, database)
}

// Target is a database for transcripts, as user postgres.
func (p *Penstock) Target(database string) pgtest.Target {
	return pgtest.Target{Dial: pgtest.DialTCP(p.Addr), User: "postgres", Database: database}
}

// Close ends everything at once.
func (p *Penstock) Close() {
	p.stopOnce.Do(func() {
		p.Server.Close()
		p.serving.Wait()
		close(p.stopped)
	})
}
