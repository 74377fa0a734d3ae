package main

import (
	"context"
	"fmt"
	"sort"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/spf13/cobra"

	"github.com/penstock/penstock/internal/config"
)

func checkCommand() *cobra.Command {
	var connect bool
	var file string
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Check a configuration file, and with --connect the servers it names",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case len(args) == 1:
				file = args[0]
			case file == "":
				file = "penstock.toml"
			}
			cfg, err := config.Load(file)
			if err != nil {
				return err
			}
			if _, _, err := materials(cfg); err != nil {
				return err
			}
			for _, n := range cfg.Notices() {
				_, _ = fmt.Fprintln(cmd.OutOrStdout(), "note:", n)
			}
			if connect {
				if err := connectAll(cmd, cfg); err != nil {
					return err
				}
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s: ok\n", file)
			return err
		},
	}
	cmd.Flags().BoolVar(&connect, "connect", false, "log in to every server, too")
	cmd.Flags().StringVarP(&file, "config", "c", "", "configuration file")
	return cmd
}

// connectAll logs in to every server and says how that went.
func connectAll(cmd *cobra.Command, cfg *config.Config) error {
	names := make([]string, 0, len(cfg.Databases))
	for name := range cfg.Databases {
		names = append(names, name)
	}
	sort.Strings(names)
	failed := 0
	for _, name := range names {
		d := cfg.Databases[name]
		for i, dsn := range append([]string{d.Primary}, d.Replicas...) {
			role := "primary"
			if i > 0 {
				role = fmt.Sprintf("replica %d", i)
			}
			ctx, stop := context.WithTimeout(cmd.Context(), cfg.Pool.ConnectTimeout)
			told, err := tryConnect(ctx, dsn)
			stop()
			if err != nil {
				failed++
				told = err.Error()
			}
			_, _ = fmt.Fprintf(cmd.OutOrStdout(), "%s, %s: %s\n", name, role, told)
		}
	}
	if failed > 0 {
		return fmt.Errorf("%d servers could not be reached", failed)
	}
	return nil
}

func tryConnect(ctx context.Context, dsn string) (string, error) {
	c, err := pgconn.Connect(ctx, dsn)
	if err != nil {
		return "", err
	}
	defer func() { _ = c.Close(ctx) }()
	return "PostgreSQL " + c.ParameterStatus("server_version"), nil
}
