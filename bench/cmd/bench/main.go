package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/penstock/penstock/bench"
)

type settings struct {
	rounds, seconds  int
	settle           time.Duration
	quick            bool
	points, penstock string
	out, readme      string
}

func main() {
	var s settings
	flag.IntVar(&s.rounds, "rounds", 5, "how often each point is measured")
	flag.IntVar(&s.seconds, "seconds", 4, "length of the window in which pgbench is measured")
	flag.DurationVar(&s.settle, "settle", 5*time.Second, "rest before the memory of idle clients is looked at")
	flag.BoolVar(&s.quick, "quick", false, "1 round, 2 seconds, no files (unless -out is given): shows that it works, not how fast")
	flag.StringVar(&s.points, "points", "", "regular expression: only points whose name matches, such as '^(simple-8|connect)'")
	flag.StringVar(&s.penstock, "penstock", "bin/penstock", "the binary under test")
	flag.StringVar(&s.out, "out", "", "folder for the results (default bench/results)")
	flag.StringVar(&s.readme, "readme", "", "measure nothing: put the newest results into this file")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (s settings) run(ctx context.Context) error {
	if s.readme != "" {
		return s.writeReadme()
	}
	if s.quick {
		s.rounds, s.seconds, s.settle = 1, 2, time.Second
	}
	if s.rounds < 1 || s.seconds < 1 {
		return errors.New("-rounds and -seconds are at least 1")
	}
	points, err := bench.Select(bench.Points(), s.points)
	if err != nil {
		return err
	}
	report, err := bench.Run(ctx, bench.Options{
		Rounds: s.rounds, Seconds: s.seconds, Settle: s.settle, Points: points, Penstock: s.penstock, Log: os.Stderr,
	})
	if err != nil {
		return err
	}
	fmt.Print(report.Markdown())
	if !s.quick || s.out != "" {
		page, err := report.Write(s.folder())
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "written to", page)
	}
	if failed := report.Failed(); len(failed) > 0 {
		return fmt.Errorf("%d runs failed:\n%s", len(failed), strings.Join(failed, "\n"))
	}
	return nil
}

func (s settings) folder() string {
	if s.out != "" {
		return s.out
	}
	return filepath.Join("bench", "results")
}

func (s settings) writeReadme() error {
	report, name, err := bench.Newest(s.folder())
	if err != nil {
		return err
	}
	page, err := filepath.Rel(filepath.Dir(s.readme), strings.TrimSuffix(name, ".json")+".md")
	if err != nil {
		return err
	}
	old, err := os.ReadFile(s.readme)
	if err != nil {
		return err
	}
	text, err := bench.Replace(string(old), report.Short(filepath.ToSlash(page)))
	if err != nil {
		return fmt.Errorf("%s: %w", s.readme, err)
	}
	return os.WriteFile(s.readme, []byte(text), 0o644) //nolint:gosec // like the other files of the source
}
