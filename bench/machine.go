package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
)

// Machine is where the figures come from.
type Machine struct {
	CPU       string `json:"cpu"`
	Cores     int    `json:"cores"`
	Memory    string `json:"memory"`
	Kernel    string `json:"kernel"`
	Load      string `json:"load"` // at the start: what else runs spoils the figures
	Go        string `json:"go"`
	Penstock  string `json:"penstock"`
	PgBouncer string `json:"pgbouncer"`
	Postgres  string `json:"postgres"`
	Pgbench   string `json:"pgbench"`
}

func describe(ctx context.Context, penstock string) Machine {
	m := Machine{
		Cores: runtime.NumCPU(), Go: runtime.Version(),
		CPU:    find(`model name\s*: (.*)`, readText("/proc/cpuinfo")),
		Kernel: strings.TrimSpace(readText("/proc/sys/kernel/osrelease")),
		Load:   find(`^(\S+)`, readText("/proc/loadavg")),
	}
	var kB int
	if _, err := fmt.Sscan(find(`MemTotal:\s*(\d+)`, readText("/proc/meminfo")), &kB); err == nil {
		m.Memory = fmt.Sprintf("%.1f GB", float64(kB)/(1<<20))
	}
	m.Penstock = output(ctx, penstock, "version")
	return m
}

func (m *Machine) addVersions(ctx context.Context, l *laboratory) {
	m.PgBouncer = find(`PgBouncer (\S+)`, output(ctx, l.pgbouncer, "--version"))
	m.Postgres = find(`\(PostgreSQL\) (\S+)`, output(ctx, filepath.Join(l.binDir, "postgres"), "--version"))
	m.Pgbench = find(`\(PostgreSQL\) (\S+)`, output(ctx, l.pgbench(), "--version"))
}

func readText(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return string(data)
}

// output is a program's first line.
func output(ctx context.Context, program string, args ...string) string {
	out, err := exec.CommandContext(ctx, program, args...).Output()
	if err != nil {
		return ""
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

func find(pattern, text string) string {
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		return "unknown"
	}
	return m[1]
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d cores, %s memory, Linux %s; PostgreSQL %s, PgBouncer %s, pgbench %s, %s",
		m.CPU, m.Cores, m.Memory, m.Kernel, m.Postgres, m.PgBouncer, m.Pgbench, m.Penstock)
}
