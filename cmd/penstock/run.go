package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/admin"
	"github.com/penstock/penstock/internal/config"
	"github.com/penstock/penstock/proxy"
)

func runCommand() *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use:   "run [DSN]",
		Short: "Serve clients, by a configuration file or a DSN alone",
		Example: `  penstock run "postgres://app:secret@10.0.0.1/shop"
  penstock run --config /etc/penstock/penstock.toml`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			load, err := source(file, args)
			if err != nil {
				return err
			}
			return serve(cmd.Context(), load, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	return cmd
}

// source returns the function that reads the configuration, anew at each
// reload.
func source(file string, args []string) (func() (*config.Config, error), error) {
	switch {
	case file != "" && len(args) > 0:
		return nil, errors.New("give a DSN or --config, not both")
	case file != "":
		return func() (*config.Config, error) { return config.Load(file) }, nil
	case len(args) == 1:
		return func() (*config.Config, error) { return config.FromDSN(args[0]) }, nil
	}
	if _, err := os.Stat("penstock.toml"); err == nil {
		return func() (*config.Config, error) { return config.Load("penstock.toml") }, nil
	}
	return nil, errors.New("nothing to run: give the server's DSN, as in\n" +
		"  penstock run \"postgres://user:password@host/database\"\n" +
		"or a configuration file with --config")
}

// process is the running program.
type process struct {
	load     func() (*config.Config, error)
	config   *config.Config
	log      *slog.Logger
	server   *proxy.Server
	shutdown chan admin.ShutdownMode
}

// serve runs until a signal or the console ends it. It returns the addresses
// it listens on to w as DSNs.
func serve(ctx context.Context, load func() (*config.Config, error), w io.Writer) error {
	cfg, err := load()
	if err != nil {
		return err
	}
	p := &process{load: load, config: cfg, log: newLogger(cfg.Log), shutdown: make(chan admin.ShutdownMode, 8)}
	raiseFileLimit(p.log, cfg.Listen.MaxClients)
	users, tlsConfig, err := materials(cfg)
	if err != nil {
		return err
	}
	p.server, err = proxy.New(proxy.Options{
		Config: cfg, Users: users, TLS: tlsConfig, Version: version, Log: p.log,
		Reload: p.reload,
		Stop:   func(m admin.ShutdownMode) { p.shutdown <- m },
	})
	if err != nil {
		return err
	}
	defer p.server.Close()
	listeners, err := listen(cfg.Listen)
	if err != nil {
		return err
	}
	failed := make(chan error, len(listeners))
	for _, l := range listeners {
		go func() { failed <- p.server.Serve(l) }()
	}
	governed, stop := context.WithCancel(ctx)
	defer stop()
	go govern(governed, p.log)
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGTERM, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
	defer signal.Stop(signals)
	p.announce(listeners, w)
	return p.wait(ctx, signals, failed)
}

// announce says where we are, in the log and as DSNs for people.
func (p *process) announce(listeners []net.Listener, w io.Writer) {
	for _, n := range p.config.Notices() {
		p.log.Warn("setting has no effect in this release", "key", n.Key, "reason", n.Message)
	}
	for _, l := range listeners {
		p.log.Info("listening", "address", l.Addr().String())
		for name := range p.config.Databases {
			if name != config.Fallback {
				_, _ = fmt.Fprintf(w, "ready: point your application at %s\n", dsnFor(l.Addr(), name))
			}
		}
		_, _ = fmt.Fprintf(w, "ready: console at %s\n", dsnFor(l.Addr(), "penstock"))
	}
}

func dsnFor(a net.Addr, database string) string {
	if a.Network() == "unix" {
		dir, port := socketParts(a.String())
		return fmt.Sprintf("\"host=%s port=%s dbname=%s\"", dir, port, database)
	}
	return fmt.Sprintf("postgres://%s/%s", a, database)
}

// wait serves signals as PgBouncer does: HUP reloads; TERM waits for clients,
// a second one does not; INT waits for open transactions; QUIT ends at once;
// USR1 pauses and USR2 resumes.
func (p *process) wait(ctx context.Context, signals <-chan os.Signal, failed <-chan error) error {
	var look <-chan time.Time // while draining: is anybody still there?
	drain := func(mode admin.ShutdownMode) {
		p.drain(mode)
		look = time.Tick(20 * time.Millisecond)
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-failed:
			if err != nil {
				return err
			}
		case mode := <-p.shutdown:
			if mode == admin.ShutdownImmediate {
				return nil
			}
			drain(mode)
		case sig := <-signals:
			switch sig {
			case syscall.SIGHUP:
				_, _ = p.reload()
			case syscall.SIGUSR1:
				go func() { _ = p.server.Pause(ctx) }()
			case syscall.SIGUSR2:
				p.server.Resume()
			case syscall.SIGQUIT:
				return nil
			default:
				if look != nil {
					return nil
				}
				mode := admin.ShutdownWaitForClients
				if sig == syscall.SIGINT {
					mode = admin.ShutdownWaitForServers
				}
				drain(mode)
			}
		case <-look:
			if p.server.Clients() == 0 {
				p.log.Info("shut down")
				return nil
			}
		}
	}
}

func (p *process) drain(mode admin.ShutdownMode) {
	p.log.Info("shutting down", "reason", mode.String())
	if mode == admin.ShutdownWaitForClients {
		p.server.StopAccepting()
		return
	}
	p.server.Drain()
}

// reload puts the file into force as it is now: all of it, or nothing.
func (p *process) reload() (string, error) {
	cfg, err := p.load()
	if err != nil {
		p.log.Error("reload refused, nothing has changed", "error", err)
		return "", err
	}
	users, tlsConfig, err := materials(cfg)
	if err != nil {
		p.log.Error("reload refused, nothing has changed", "error", err)
		return "", err
	}
	if err := p.server.Apply(cfg, users, tlsConfig); err != nil {
		return "", err
	}
	changes := config.Diff(p.config, cfg)
	p.config = cfg
	var report strings.Builder
	for _, c := range changes {
		report.WriteString(fmt.Sprintf("%s: %s -> %s (%s)\n", c.Key, c.Old, c.New, c.Effect))
		p.log.Info("setting changed", "key", c.Key, "old", c.Old, "new", c.New, "effect", c.Effect.String())
	}
	p.log.Info("reloaded", "changes", len(changes))
	return report.String(), nil
}
