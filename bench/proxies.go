package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/penstock/penstock/internal/pgtest"
)

const (
	poolSize   = 20
	maxClients = 6000
)

// laboratory is PostgreSQL and what is needed to put proxies before it.
type laboratory struct {
	cluster   *pgtest.Cluster
	dir       string
	binDir    string
	penstock  string
	pgbouncer string
	started   int
}

// newLaboratory starts PostgreSQL, with replicas or alone, and fills it.
func newLaboratory(ctx context.Context, penstock string, replicas int) (*laboratory, error) {
	if err := raiseFileLimit(maxClients + 500); err != nil {
		return nil, err
	}
	lab := &laboratory{}
	var err error
	if lab.penstock, err = filepath.Abs(penstock); err != nil {
		return nil, err
	}
	if _, err := os.Stat(lab.penstock); err != nil {
		return nil, fmt.Errorf("%w: make build makes it", err)
	}
	if lab.pgbouncer, err = findPgBouncer(); err != nil {
		return nil, err
	}
	if lab.binDir, err = pgtest.FindBinDir(); err != nil {
		return nil, err
	}
	// TLS is on for its certificate, which the proxies use, too.
	lab.cluster, err = pgtest.Start(ctx, pgtest.Options{
		BinDir: lab.binDir, Replicas: replicas, TLS: true, Settings: map[string]string{"max_connections": "200", "shared_buffers": "256MB"},
	})
	if err != nil {
		return nil, err
	}
	lab.dir = lab.cluster.Dir
	if err := lab.fill(ctx); err != nil {
		return nil, errors.Join(err, lab.cluster.Stop())
	}
	return lab, nil
}

func findPgBouncer() (string, error) {
	if path, err := exec.LookPath("pgbouncer"); err == nil {
		return path, nil
	}
	const debian = "/usr/sbin/pgbouncer" // not in everybody's PATH
	if _, err := os.Stat(debian); err != nil {
		return "", errors.New("no pgbouncer: scripts/setup.sh pgbouncer installs it")
	}
	return debian, nil
}

func (l *laboratory) fill(ctx context.Context) error {
	if err := l.cluster.Primary.Exec(ctx, "postgres", "CREATE DATABASE bench"); err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, l.pgbench(), "-i", "-q", "-s", "10", dsn(l.cluster.Primary.Addr(), false))
	cmd.Env = cleanEnv(os.Environ())
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("pgbench -i: %w\n%s", err, out)
	}
	if err := l.cluster.Primary.Exec(ctx, "bench", "CHECKPOINT"); err != nil {
		return err
	}
	return l.warmReplicas(ctx)
}

// warmReplicas has each replica read what pgbench will read.
func (l *laboratory) warmReplicas(ctx context.Context) error {
	if err := l.cluster.CatchUp(ctx); err != nil {
		return err
	}
	for _, replica := range l.cluster.Replicas {
		err := replica.Exec(ctx, "bench", "SELECT sum(abalance) FROM pgbench_accounts; "+
			"SET enable_seqscan = off; SELECT count(*) FROM pgbench_accounts WHERE aid > 0")
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *laboratory) pgbench() string {
	path := filepath.Join(l.binDir, "pgbench")
	if _, err := os.Stat(path); err != nil {
		return "pgbench"
	}
	return path
}

// dsn is the keyword/value connection string of a server or proxy.
func dsn(addr string, tls bool) string {
	mode := "disable"
	if tls {
		mode = "require"
	}
	host, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf("host=%s port=%s user=postgres dbname=bench sslmode=%s", host, port, mode)
}

func (l *laboratory) keyFile() string {
	return strings.TrimSuffix(l.cluster.CertFile, ".crt") + ".key"
}

// start starts a proxy of its own configuration file.
func (l *laboratory) start(ctx context.Context, target Target) (*process, error) {
	addr, err := freeAddr()
	if err != nil {
		return nil, err
	}
	l.started++
	base := filepath.Join(l.dir, fmt.Sprintf("%s-%d", strings.ReplaceAll(strings.ToLower(string(target)), " ", "-"), l.started))
	cred, err := servant()
	if err != nil {
		return nil, err
	}
	name, text, args := base+".toml", l.penstockConfig(addr, target), []string{"run", "--config", base + ".toml"}
	program := l.penstock
	if target == PgBouncer {
		name, text, args, program = base+".ini", l.pgbouncerConfig(addr), []string{base + ".ini"}, l.pgbouncer
	} else {
		cred = nil // runs as anybody
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil { //nolint:gosec // another user reads it; no secrets
		return nil, err
	}
	return startProcess(ctx, string(target), addr, base+".log", cred, program, args...)
}

// penstockConfig differs between RoutingOn and RoutingOff by one word.
func (l *laboratory) penstockConfig(addr string, target Target) string {
	text := fmt.Sprintf(`[listen]
address       = [%q]
max_clients   = %d
tls_cert_file = %q
tls_key_file  = %q

[auth]
method = "trust"

[admin]
http = ""

[pool]
size = %d

[databases.bench]
primary = "host=127.0.0.1 port=%d user=postgres dbname=bench sslmode=disable"
`, addr, maxClients, l.cluster.CertFile, l.keyFile(), poolSize, l.cluster.Primary.Port)
	if len(l.cluster.Replicas) == 0 {
		return text
	}
	var replicas []string
	for _, r := range l.cluster.Replicas {
		replicas = append(replicas, fmt.Sprintf(`"host=127.0.0.1 port=%d"`, r.Port))
	}
	return text + fmt.Sprintf("replicas = [%s]\n\n[databases.bench.routing]\nenabled = %t\n",
		strings.Join(replicas, ", "), target == RoutingOn)
}

// pgbouncerConfig turns the lines about each login off, because Penstock writes
// none either.
func (l *laboratory) pgbouncerConfig(addr string) string {
	_, port, _ := net.SplitHostPort(addr)
	return fmt.Sprintf(`[databases]
bench = host=127.0.0.1 port=%d dbname=bench user=postgres

[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %s
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = %d
max_client_conn = %d
log_connections = 0
log_disconnections = 0
client_tls_sslmode = prefer
client_tls_cert_file = %s
client_tls_key_file = %s
`, l.cluster.Primary.Port, port, poolSize, maxClients, l.cluster.CertFile, l.keyFile())
}
