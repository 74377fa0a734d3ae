package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/pgtest"
)

// What the demo shows: so many clients on so few server connections.
const (
	demoClients  = 200
	demoPoolSize = 10 // of each host
	demoMonitors = 6  // Penstock's own connections to two hosts: some are for a moment
)

func demoCommand() *cobra.Command {
	var stay bool
	var each int
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "Show the main job on a throw-away primary and replica",
		Long: "Start a throw-away PostgreSQL primary and replica in a temporary folder and Penstock\n" +
			"before them, run psql and pgbench through it, show the console, stop the replica\n" +
			"and change the primary under load, and clean up.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
			defer stop()
			program, err := os.Executable()
			if err != nil {
				return err
			}
			d := &demo{out: cmd.OutOrStdout(), program: program, each: each, stay: stay}
			return d.run(ctx)
		},
	}
	cmd.Flags().BoolVar(&stay, "stay", false, "keep everything running afterwards, until Ctrl-C")
	cmd.Flags().IntVar(&each, "transactions", 200, "how many each of the clients runs in each mode")
	return cmd
}

// demo is one run of the command. Its steps fill it in their order.
type demo struct {
	// Immutable.
	out     io.Writer
	program string // this binary, which runs Penstock as a child
	each    int    // transactions of each client in each mode
	stay    bool
	more    string // settings of the database's routing, for tests

	// Owned by run.
	begin   time.Time
	number  int    // of the step
	dir     string // holds everything the demo writes
	bin     string // PostgreSQL's programs
	cluster *pgtest.Cluster
	address string // where Penstock listens
	proxy   *demoProcess
	sampler *demoSampler
	pools   string // SHOW POOLS under load
}

type demoStep struct {
	title string
	do    func(context.Context) (detail string, err error)
}

func (d *demo) plan() []demoStep {
	title := func(mode string) string {
		return fmt.Sprintf("%d clients at once: pgbench -S, %s", demoClients, mode)
	}
	return append([]demoStep{
		{"Start PostgreSQL: a primary and a streaming replica", d.startCluster},
		{"Write Penstock's file", d.writeConfig},
		{"Start Penstock", d.startProxy},
		{"One query by psql", d.query},
		{"Tables by pgbench -i (DDL, COPY, VACUUM)", d.fill},
		{title("simple queries"), d.load("simple")},
		{title("extended queries"), d.load("extended")},
		{title("prepared statements"), d.load("prepared")},
		{"SHOW POOLS on the console, during the last run", d.showPools},
		{"SHOW STATS on the console", d.showStats},
		{"The proof", d.prove},
	}, d.routingPlan()...)
}

// run goes through the plan and cleans up, whatever happened.
func (d *demo) run(ctx context.Context) (err error) {
	d.begin = time.Now()
	defer func() {
		if err != nil && ctx.Err() == nil {
			_, _ = fmt.Fprint(d.out, d.proxy.lastLog())
		}
		err = errors.Join(err, d.step(context.WithoutCancel(ctx), demoStep{"Clean up", d.cleanUp}))
		if err == nil {
			_, _ = fmt.Fprintf(d.out, "\nDone in %.1f s.\n", time.Since(d.begin).Seconds())
		}
	}()
	for _, s := range d.plan() {
		if err := d.step(ctx, s); err != nil {
			return err
		}
	}
	if d.stay {
		return d.wait(ctx)
	}
	return nil
}

// step runs one step and tells its duration, then its detail.
func (d *demo) step(ctx context.Context, s demoStep) error {
	d.number++
	_, _ = fmt.Fprintf(d.out, "%2d. %-58s ", d.number, s.title)
	begin := time.Now()
	detail, err := s.do(ctx)
	switch {
	case ctx.Err() != nil:
		_, _ = fmt.Fprintln(d.out, "interrupted")
		return errors.New("interrupted")
	case err != nil:
		_, _ = fmt.Fprintln(d.out, "FAILED")
	default:
		_, _ = fmt.Fprintf(d.out, "%5.1f s\n", time.Since(begin).Seconds())
	}
	for line := range strings.Lines(strings.TrimRight(detail, "\n")) {
		_, _ = fmt.Fprintln(d.out, strings.TrimRight("      "+line, " \n"))
	}
	return err
}

// wait keeps everything up until Ctrl-C or the end of Penstock.
func (d *demo) wait(ctx context.Context) error {
	_, _ = fmt.Fprintf(d.out, `
Everything stays up. Connect to

  the application's database, through Penstock   %s
  Penstock's console                             %s
  the primary, directly                          %s
  the replica, directly                          %s

Files and logs are in %s.
Ctrl-C ends it all.
`, d.dsn("demo"), d.dsn("penstock"), demoDSN(d.cluster.Primary.Addr(), "demo"), demoDSN(d.cluster.Replicas[0].Addr(), "demo"), d.dir)
	select {
	case <-ctx.Done():
		_, _ = fmt.Fprintln(d.out)
		return nil
	case <-d.proxy.done:
		return fmt.Errorf("penstock has ended: %s", d.proxy.end)
	}
}

// cleanUp stops what was started, last first, and removes the folder.
func (d *demo) cleanUp(context.Context) (string, error) {
	var errs []error
	if d.sampler != nil {
		d.sampler.stop()
	}
	if d.proxy != nil {
		errs = append(errs, d.proxy.stop())
	}
	if d.cluster != nil {
		errs = append(errs, d.cluster.Stop())
	}
	if d.dir != "" {
		errs = append(errs, os.RemoveAll(d.dir))
	}
	return "", errors.Join(errs...)
}

// dsn is the address of a database behind Penstock.
func (d *demo) dsn(database string) string { return demoDSN(d.address, database) }

func demoDSN(address, database string) string {
	return fmt.Sprintf("postgres://app:demo@%s/%s", address, database)
}
