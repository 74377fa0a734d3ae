package pgtest

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"
)

// ErrNoPostgres says that no folder with postgres and initdb was found.
var ErrNoPostgres = errors.New("no PostgreSQL server programs (postgres, initdb) found")

// FindBinDir returns the folder of the PostgreSQL server programs: that of the
// pg_config in PATH, else that of the postgres in PATH, else the newest below
// /usr/lib/postgresql, where Debian keeps them outside of PATH.
func FindBinDir() (string, error) {
	for _, candidates := range []func() []string{fromPgConfig, fromPath, fromDebian} {
		for _, dir := range candidates() {
			if isBinDir(dir) {
				return dir, nil
			}
		}
	}
	return "", ErrNoPostgres
}

func fromPgConfig() []string {
	out, err := exec.Command("pg_config", "--bindir").Output()
	if err != nil {
		return nil
	}
	return []string{strings.TrimSpace(string(out))}
}

func fromPath() []string {
	path, err := exec.LookPath("postgres")
	if err != nil {
		return nil
	}
	if real, err := filepath.EvalSymlinks(path); err == nil {
		path = real
	}
	return []string{filepath.Dir(path)}
}

// fromDebian returns the versioned folders of Debian's packages, newest first.
func fromDebian() []string {
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return nil
	}
	major := func(dir string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(dir)))
		return n
	}
	sort.Slice(dirs, func(a, b int) bool { return major(dirs[a]) > major(dirs[b]) })
	return dirs
}

func isBinDir(dir string) bool {
	for _, name := range []string{"postgres", "initdb"} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// serverVersion is what "postgres --version" tells.
type serverVersion struct {
	major int
	text  string // such as "15.13" or "18beta2"
}

func readVersion(ctx context.Context, binDir string) (serverVersion, error) {
	out, err := exec.CommandContext(ctx, filepath.Join(binDir, "postgres"), "--version").Output()
	if err != nil {
		return serverVersion{}, fmt.Errorf("ask postgres for its version: %w", err)
	}
	return parseVersion(string(out))
}

// parseVersion reads "postgres (PostgreSQL) 15.13 (Debian 15.13-0+deb12u1)".
func parseVersion(line string) (serverVersion, error) {
	m := regexp.MustCompile(`\(PostgreSQL\) ((\d+)[0-9A-Za-z.]*)`).FindStringSubmatch(line)
	if m == nil {
		return serverVersion{}, fmt.Errorf("no version in %q", line)
	}
	major, err := strconv.Atoi(m[2])
	if err != nil {
		return serverVersion{}, fmt.Errorf("version %q: %w", m[1], err)
	}
	return serverVersion{major: major, text: m[1]}, nil
}
