package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/penstock/penstock/internal/pgtest"
)

// startCluster starts the two servers and makes the application's user and
// database, and a user for Penstock's own probes. The primary would refuse most of the clients if they came directly.
func (d *demo) startCluster(ctx context.Context) (string, error) {
	var err error
	if d.dir, err = os.MkdirTemp("", "penstock-demo-"); err != nil {
		return "", err
	}
	if d.bin, err = pgtest.FindBinDir(); err != nil {
		return "", fmt.Errorf("%w; scripts/setup.sh postgres installs them", err)
	}
	// Once it runs, a Ctrl-C shall stop Penstock first; so the cluster listens to
	// the signals only while it starts.
	alive, end := context.WithCancel(context.WithoutCancel(ctx))
	defer context.AfterFunc(ctx, end)()
	d.cluster, err = pgtest.Start(alive, pgtest.Options{
		BinDir: d.bin, Dir: filepath.Join(d.dir, "postgres"), Replicas: 1,
		Auth: "scram-sha-256", SuperuserPassword: rand.Text(),
		Settings: map[string]string{"max_connections": "50"},
	})
	if err != nil {
		end()
		return "", err
	}
	for _, sql := range []string{
		"CREATE ROLE app LOGIN PASSWORD 'demo'", "CREATE ROLE monitor LOGIN PASSWORD 'demo' IN ROLE pg_monitor",
		"CREATE DATABASE demo OWNER app",
	} {
		if err := d.cluster.Primary.Exec(ctx, "postgres", sql); err != nil {
			return "", err
		}
	}
	if err := d.cluster.CatchUp(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("PostgreSQL %d, primary on port %d, replica on port %d, max_connections = 50",
		d.cluster.Version, d.cluster.Primary.Port, d.cluster.Replicas[0].Port), nil
}

func (d *demo) configFile() string { return filepath.Join(d.dir, "penstock.toml") }

func (d *demo) writeConfig(context.Context) (string, error) {
	var err error
	if d.address, err = demoAddress(); err != nil {
		return "", err
	}
	text := fmt.Sprintf(`[listen]
address = [%q]

[admin]
users = ["app"]       # may use the console

[pool]
size = %d             # server connections to each host, for any number of clients

[databases.demo]      # clients log in with the user and password of the server
primary  = "host=127.0.0.1 port=%d user=app password=demo"
replicas = ["host=127.0.0.1 port=%d"]   # reads go there
monitor  = "user=monitor password=demo"   # Penstock's own probes
%s`, d.address, demoPoolSize, d.cluster.Primary.Port, d.cluster.Replicas[0].Port, d.more)
	shown := "# " + d.configFile() + "\n" + text
	return shown, os.WriteFile(d.configFile(), []byte(text), 0o600)
}

// demoAddress is a free place to listen on, if possible the usual one.
func demoAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:6432")
	if err != nil {
		l, err = net.Listen("tcp", "127.0.0.1:0")
	}
	if err != nil {
		return "", err
	}
	return l.Addr().String(), l.Close()
}

// startProxy runs this program as a child, so that its log and its memory are
// those of the real thing, and then watches it and the servers.
func (d *demo) startProxy(ctx context.Context) (string, error) {
	var err error
	if d.proxy, err = startDemoProcess(d.dir, d.program, "run", "--config", d.configFile()); err != nil {
		return "", err
	}
	if err := d.proxy.waitReady(ctx, d.dsn("penstock")); err != nil {
		return "", err
	}
	d.sampler, err = startDemoSampler(ctx, d.cluster.Primary.DSN("postgres"), d.cluster.Replicas[0].DSN("postgres"), d.dsn("penstock"))
	return fmt.Sprintf("$ penstock run --config %s   # process %d\n%s", d.configFile(), d.proxy.pid(), d.proxy.said()), err
}

func (d *demo) query(ctx context.Context) (string, error) {
	const sql = "SELECT 'answered by process ' || pg_backend_pid() || ' on port ' || inet_server_port()"
	out, err := d.psql(ctx, "demo", "-At", "-c", sql)
	return fmt.Sprintf("$ psql %s -Atc \"%s\"\n%s", d.dsn("demo"), sql, out), err
}

// fill makes pgbench's tables through Penstock, and sees them on the replica.
func (d *demo) fill(ctx context.Context) (string, error) {
	if _, err := d.tool(ctx, "pgbench", "-i", "-q", "-s", "1", d.dsn("demo")); err != nil {
		return "", err
	}
	if err := d.cluster.CatchUp(ctx); err != nil {
		return "", err
	}
	rows, err := d.cluster.Replicas[0].Query(ctx, "demo", "SELECT count(*) FROM pgbench_accounts")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("$ pgbench -i -s 1 %s\nthe replica has %s accounts, too", d.dsn("demo"), rows[0][0]), nil
}

// load runs all clients in one of pgbench's modes. It goes by transactions, not
// by time, because pgbench's time begins before its clients have logged in.
func (d *demo) load(mode string) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		d.sampler.reset()
		ctx, stop := context.WithTimeout(ctx, 2*time.Minute)
		defer stop()
		ran := make(chan struct{})
		var out string
		var err error
		go func() {
			defer close(ran)
			out, err = d.tool(ctx, "pgbench", "-n", "-S", "-M", mode, "-c", fmt.Sprint(demoClients), "-j", "2",
				"-t", fmt.Sprint(d.each), d.dsn("demo"))
		}()
		if d.sampler.waitFor(ran, demoClients) {
			d.pools, _ = d.psql(ctx, "penstock", "--csv", "-c", "SHOW POOLS")
		}
		<-ran
		if err != nil {
			return out, err
		}
		result, err := parseDemoBench(out)
		if err != nil {
			return out, err
		}
		seen := d.sampler.seen()
		return fmt.Sprintf("%d transactions, %.0f per second, %d failed;\n%d clients, server connections: %d to the primary, %d to the replica",
			result.transactions, result.tps, result.failed, seen.clients, seen.primary, seen.replica), result.check(demoClients * d.each)
	}
}

func (d *demo) showPools(context.Context) (string, error) {
	if d.pools == "" {
		_, err := d.sampler.most()
		return "", errors.Join(fmt.Errorf("the console never showed %d clients at once", demoClients), err)
	}
	return transpose(d.pools)
}

func (d *demo) showStats(ctx context.Context) (string, error) {
	out, err := d.psql(ctx, "penstock", "--csv", "-c", "SHOW STATS")
	if err != nil {
		return out, err
	}
	return transpose(out)
}

// prove is what the acts so far are for; it fails if a promise was broken. After
// it nobody counts any more: the next acts stop servers.
func (d *demo) prove(context.Context) (string, error) {
	most, err := d.sampler.most()
	if err != nil {
		return "", fmt.Errorf("look at pg_stat_activity: %w", err)
	}
	d.sampler.stop()
	d.sampler = nil
	detail := fmt.Sprintf("%d clients used at most %d server connections to the primary and %d to the replica\n"+
		"(limit %d each: a host has a pool of its own; beside them %d of Penstock's own, to watch the two).\n"+
		"Seen in %d looks at SHOW POOLS and pg_stat_activity. Penstock's memory: %d MB.",
		most.clients, most.primary, most.replica, demoPoolSize, most.monitors, most.samples, d.proxy.rss()>>20)
	return detail, most.check()
}

// check is about the promise of pooling.
func (c demoCounts) check() error {
	switch {
	case max(c.primary, c.replica) > demoPoolSize:
		return fmt.Errorf("%d server connections to a host were used, more than %d", max(c.primary, c.replica), demoPoolSize)
	case c.monitors > demoMonitors:
		return fmt.Errorf("%d connections of Penstock's own, more than %d", c.monitors, demoMonitors)
	case c.clients < demoClients:
		return fmt.Errorf("only %d clients were connected at once, fewer than %d", c.clients, demoClients)
	}
	return nil
}
