package drivers

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// suite is a driver's own tests.
type suite struct {
	name     string
	module   string
	version  string
	packages []string // folders below the module's

	dir      string            // a copy of the module, writable
	binaries map[string]string // test programs by package
}

// outcome is how the tests of a run ended: pass, fail or skip, by package and
// name with a space between. A test that never ended is not in it, or "run".
type outcome map[string]string

// limit is the longest a package's tests may take.
const limit = 4 * time.Minute

// fetch copies the module to a folder where tests may write, and builds the
// test programs.
func (s *suite) fetch(t *testing.T) {
	t.Helper()
	tmp := t.TempDir()
	if err := os.WriteFile(filepath.Join(tmp, "go.mod"), []byte("module suite\n\ngo 1.26\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var module struct{ Dir string }
	out := run(t, tmp, "go", "mod", "download", "-json", s.module+"@"+s.version)
	if err := json.Unmarshal(out, &module); err != nil {
		t.Fatal(err)
	}
	s.dir = filepath.Join(tmp, "copy")
	if err := os.CopyFS(s.dir, os.DirFS(module.Dir)); err != nil {
		t.Fatal(err)
	}
	err := filepath.WalkDir(s.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Chmod(path, 0o755)
	})
	if err != nil {
		t.Fatal(err)
	}
	s.binaries = map[string]string{}
	for i, p := range s.packages {
		s.binaries[p] = filepath.Join(tmp, fmt.Sprintf("%d.test", i))
		run(t, s.dir, "go", "test", "-c", "-vet=off", "-o", s.binaries[p], "./"+p)
	}
}

// run runs a command and returns its output.
func run(t *testing.T, dir, name string, args ...string) []byte {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOFLAGS=-mod=mod -buildvcs=false", "GOWORK=off")
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, stderr.String())
	}
	return out
}

// play runs the tests with an environment, except those of skip, by package.
// Output of failed tests goes to the file at logPath.
func (s *suite) play(t *testing.T, env []string, skip map[string][]string, logPath string) outcome {
	t.Helper()
	log, err := os.Create(logPath)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	all := outcome{}
	for _, p := range s.packages {
		began := time.Now()
		events, err := s.events(t.Context(), p, env, skip[p])
		t.Logf("%s %s took %v", s.name, p, time.Since(began).Round(time.Second/10))
		if err != nil {
			t.Logf("%s %s: %v", s.name, p, err)
		}
		maps.Copy(all, all.read(p, events, log))
	}
	return all
}

// event is a line of go tool test2json.
type event struct {
	Action, Test, Output string
	Elapsed              float64 // seconds
}

func (s *suite) events(ctx context.Context, p string, env, skip []string) ([]byte, error) {
	ctx, stop := context.WithTimeout(ctx, limit+30*time.Second)
	defer stop()
	args := []string{"tool", "test2json", "-t", s.binaries[p], "-test.v=test2json", "-test.count=1", "-test.timeout=" + limit.String()}
	if pattern := os.Getenv("PENSTOCK_SUITE_RUN"); pattern != "" {
		args = append(args, "-test.run="+pattern)
	}
	if len(skip) > 0 {
		args = append(args, "-test.skip=^("+strings.Join(skip, "|")+")$")
	}
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = filepath.Join(s.dir, p), append(os.Environ(), env...)
	cmd.WaitDelay = 5 * time.Second
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.ExitCode() == 1 {
		err = nil // tests have failed: the events tell
	}
	return out, err
}

// read gathers the outcome of a package, and the output of what has failed.
func (outcome) read(p string, events []byte, log *os.File) outcome {
	o := outcome{}
	output := map[string][]string{}
	folder := regexp.MustCompile(`/tmp/\w+/`) // in names of tests: another in each run
	lines := bufio.NewScanner(bytes.NewReader(events))
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		var e event
		if json.Unmarshal(lines.Bytes(), &e) != nil {
			continue
		}
		key := p + " " + folder.ReplaceAllString(e.Test, "/tmp/DIR/")
		if e.Elapsed >= 5 && e.Test != "" {
			fmt.Fprintf(log, "=== %s took %.0f s\n", key, e.Elapsed)
		}
		switch e.Action {
		case "output":
			output[key] = append(output[key], e.Output)
		case "run":
			o[key] = "run"
		case "pass", "skip":
			if e.Test != "" {
				o[key] = e.Action
			}
		case "fail":
			if e.Test != "" {
				o[key] = e.Action
			}
			fmt.Fprintf(log, "=== %s\n%s\n", key, strings.Join(output[key], ""))
		}
	}
	for key, action := range o {
		if action == "run" {
			fmt.Fprintf(log, "=== %s never ended\n%s\n", key, strings.Join(output[key], ""))
		}
	}
	return o
}

func (o outcome) count(action string) int {
	n := 0
	for _, a := range o {
		if a == action {
			n++
		}
	}
	return n
}

// lost returns the tests that pass in direct and do not in o.
func (o outcome) lost(direct outcome) []string {
	var names []string
	for name, action := range direct {
		if action == "pass" && o[name] != "pass" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// known is the list of failures with a reason.
type known struct {
	reasons map[string]string // by "suite mode package test"
	met     map[string]bool
}

// readKnown reads testdata/known_failures.txt: a line is "suite mode package
// test: reason". An entry is for the tests below it, too.
func readKnown(t *testing.T) *known {
	t.Helper()
	data, err := os.ReadFile("testdata/known_failures.txt")
	if err != nil {
		t.Fatal(err)
	}
	k := &known{reasons: map[string]string{}, met: map[string]bool{}}
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, reason, ok := strings.Cut(line, ": ")
		if !ok || len(strings.Fields(name)) != 4 {
			t.Fatalf("known_failures.txt: %q is not \"suite mode package test: reason\"", line)
		}
		k.reasons[name] = reason
	}
	return k
}

// reason returns why a test is known to fail, and notes that it has.
func (k *known) reason(suite, mode, test string) (string, bool) {
	for name := suite + " " + mode + " " + test; ; {
		if reason, ok := k.reasons[name]; ok {
			k.met[name] = true
			return reason, true
		}
		i := strings.LastIndexByte(name, '/')
		if i < 0 {
			return "", false
		}
		name = name[:i]
	}
}

// skips returns the tests that are not run, by package.
func (k *known) skips(suite, mode string) map[string][]string {
	all := map[string][]string{}
	for name, reason := range k.reasons {
		if f := strings.Fields(name); f[0] == suite && f[1] == mode && strings.HasPrefix(reason, "not run") {
			all[f[2]] = append(all[f[2]], f[3])
		}
	}
	return all
}

// unmet returns the entries for a suite and mode that have not failed.
func (k *known) unmet(suite, mode string) []string {
	var names []string
	for name := range k.reasons {
		if strings.HasPrefix(name, suite+" "+mode+" ") && !k.met[name] && !strings.HasPrefix(k.reasons[name], "sometimes") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
