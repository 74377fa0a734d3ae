package integration

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/pgtest"
)

// startupCase is a set of startup parameters, and the settings to look at.
type startupCase struct {
	user   string // postgres if empty
	params map[string]string
	show   []string
}

func startupCases() []startupCase {
	one := func(name, value string, show ...string) startupCase {
		return startupCase{params: map[string]string{name: value}, show: append(show, strings.TrimPrefix(name, "options"))}
	}
	long := strings.Repeat("long ", 30)
	return []startupCase{
		{params: map[string]string{}},
		one("extra_float_digits", "3"), one("search_path", "pgt, public"), one("search_path", `"A b", public`),
		one("statement_timeout", "12345"), one("STATEMENT_timeout", "1min"), one("role", "reader"), one("role", "none"),
		one("application_name", "plain"), one("application_name", "ünï"), one("application_name", long), one("application_name", "a\nb"),
		one("TimeZone", "europe/berlin"), one("timezone", "<+03>-3"), one("TimeZone", "PST8PDT"), one("DATESTYLE", "german"),
		one("DateStyle", "SQL, DMY"), one("client_encoding", "latin1"), one("client_encoding", "UTF-8"), one("client_encoding", "'utf-8'"),
		one("IntervalStyle", "iso_8601"), one("standard_conforming_strings", "off"), one("geqo", "off"), one("jit", "0"),
		one("default_transaction_isolation", "serializable"), one("default_transaction_read_only", "on"),
		one("penstock_test.x", `y 'quoted' \ `), one("log_min_messages", "error"), one("lock_timeout", "7"),
		one("application_name", ""),
		{
			params: map[string]string{"TimeZone": "Asia/Tokyo", "DateStyle": "ISO", "extra_float_digits": "2", "client_encoding": "UTF8"},
			show:   []string{"TimeZone", "DateStyle", "extra_float_digits"},
		},
		one("options", "-c work_mem=5MB", "work_mem"), one("options", "-cwork_mem=5MB --statement-timeout=3s", "work_mem", "statement_timeout"),
		one("options", `-c search_path=a\ b,c`, "search_path"), one("options", `-c penstock_test.x=a\\b --penstock_test.y==`, "penstock_test.x", "penstock_test.y"),
		one("options", "  --work_mem=5MB\t-c\nwork-mem=6MB ", "work_mem"), one("options", "", "work_mem"), one("options", "--DateStyle=german", "DateStyle"),
		one("options", "-e", "DateStyle"), one("options", "-S 5MB", "work_mem"), one("options", "-f i", "enable_indexscan"), one("options", "-d 2", "log_min_messages"),
		{params: map[string]string{"work_mem": "7MB", "options": "-c work_mem=8MB"}, show: []string{"work_mem"}},
		{user: "app", params: map[string]string{"work_mem": "7MB"}, show: []string{"work_mem"}},
		// What PostgreSQL refuses, in its words.
		one("no_such_setting", "1"), one("work_mem", "lots"), one("shared_buffers", "1GB"), one("server_version", "1"), one("role", "nobody"),
		one("TimeZone", "Nowhere/Land"), one("client_encoding", "EBCDIC"), one("DateStyle", "never"), one("statement_timeout", "-1"),
		one("options", "-c"), one("options", "-c nonsense"), one("options", "-x 5"), one("options", "nonsense"), one("options", "--work_mem"),
		one("options", "-c no_such_setting=1"), one("options", "-c work_mem=lots"), one("options", "-p 5432"),
		{user: "app", params: map[string]string{"log_min_messages": "error"}},
		{user: "app", params: map[string]string{"role": "postgres"}},
		{user: "app", params: map[string]string{"options": "-c session_preload_libraries=x"}},
	}
}

// Whatever PostgreSQL accepts at the start is accepted and holds; whatever it
// refuses is refused in its words.
func TestStartupParametersAreThoseOfPostgreSQL(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	oracle := h.Cluster.Primary.Target("postgres")
	for _, c := range startupCases() {
		t.Run(fmt.Sprintf("%s%q", c.user, c.params), func(t *testing.T) {
			want := c.play(t, oracle)
			for _, database := range []string{"tx", "sess"} {
				if got := c.play(t, p.Target(database)); got != want {
					t.Errorf("%s: got %q, want %q", database, differing(got, want), differing(want, got))
				}
			}
		})
	}
}

// play logs in twice and returns what a client is told and what holds later.
func (c startupCase) play(t *testing.T, target pgtest.Target) string {
	t.Helper()
	if c.user != "" {
		target.User, target.Password = c.user, "app-secret"
	}
	target.Params = c.params
	var b strings.Builder
	for range 2 { // the second login of the kind goes another way
		client, err := target.Connect(t.Context())
		if err != nil {
			fmt.Fprintf(&b, "%s\n", told(err))
			continue
		}
		for _, name := range slices.Sorted(maps.Keys(client.Parameters)) {
			fmt.Fprintf(&b, "%s: %q\n", name, client.Parameters[name])
		}
		for range 3 { // by chance on several server connections
			for _, name := range c.show {
				if name != "" {
					fmt.Fprintf(&b, "%s = %q\n", name, ask(t, client, "SHOW "+name))
				}
			}
		}
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	}
	return b.String()
}

// A set of parameters is checked once and remembered: not the refusal, and not
// for another user.
func TestStartupParametersAreNotMixedUp(t *testing.T) {
	h := house(t)
	p := open(t, h.Config())
	noise(t, p.DSN("tx"), 4)
	for i := range 40 {
		conn := connect(t, p.DSN("tx")+fmt.Sprintf(" work_mem=%dkB statement_timeout=%d application_name='app %d'", 1001+2*(i%5), 1001+2*(i%3), i))
		expect(t, conn, "SHOW work_mem", fmt.Sprintf("%dkB", 1001+2*(i%5)))
		expect(t, conn, "SHOW statement_timeout", fmt.Sprintf("%dms", 1001+2*(i%3)))
		expect(t, conn, "SHOW application_name", fmt.Sprintf("app %d", i))
	}
	plain := connect(t, p.DSN("tx"))
	expect(t, plain, "SHOW work_mem", "4MB")
	expect(t, plain, "SHOW statement_timeout", "0")
	_, err := tryConnect(t, p.DSNOf("app", "tx")+" log_min_messages=error")
	refused(t, err, "FATAL", "42501")
	_, err = tryConnect(t, p.DSN("tx")+" log_min_messages=error")
	if err != nil {
		t.Errorf("a superuser may set it, and was told %v", err)
	}
}

// What PostgreSQL takes at the start of a connection only, it cannot be given
// on a server connection that others have used.
func TestBackendSettingsAreRefused(t *testing.T) {
	p := open(t, house(t).Config())
	for _, name := range []string{"ignore_system_indexes", "log_connections", "log_disconnections"} {
		_, err := tryConnect(t, p.DSN("tx")+" "+name+"=on")
		refused(t, err, "FATAL", "55P02")
	}
}

// Replication needs a connection of its own.
func TestReplicationIsRefused(t *testing.T) {
	p := open(t, house(t).Config())
	for _, v := range []string{"true", "database", "1"} {
		_, err := tryConnect(t, p.DSN("tx")+" replication="+v)
		refused(t, err, "FATAL", "0A000")
	}
	conn := connect(t, p.DSN("tx")+" replication=false")
	expect(t, conn, "SELECT 1", "1")
}

// differing returns the lines of a that b does not have.
func differing(a, b string) []string {
	have := strings.Split(b, "\n")
	var lines []string
	for line := range strings.SplitSeq(a, "\n") {
		if !slices.Contains(have, line) && !slices.Contains(lines, line) {
			lines = append(lines, line)
		}
	}
	return lines
}
