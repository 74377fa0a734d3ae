package config_test

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/config"
)

func TestShortestFileLetsItsUserIn(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "[databases.shop]\nprimary = \"host=10.0.0.1 port=5432 user=shop password=s3cret\"\n")
	want := config.Default()
	want.Path = "penstock.toml"
	want.Auth.Users = map[string]string{"shop": "s3cret"}
	if got := c.Databases["shop"].Primary; got != "host=10.0.0.1 port=5432 dbname=shop user=shop password=s3cret sslmode=prefer" {
		t.Errorf("primary is %q", got)
	}
	if len(c.Databases) != 1 || c.Databases["shop"].Pool != want.Pool || c.Databases["shop"].Name != "shop" {
		t.Errorf("database is %+v", c.Databases["shop"])
	}
	if !reflect.DeepEqual(c.Auth, want.Auth) || !reflect.DeepEqual(c.Listen, want.Listen) ||
		!reflect.DeepEqual(c.Admin, want.Admin) || c.Log != want.Log || c.Pool != want.Pool || c.Path != want.Path {
		t.Errorf("got %+v, want the defaults", c)
	}
}

func TestEverySettingReachesItsField(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for name, text := range map[string]string{"users.txt": "", "pw": "from file\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text := `
[listen]
address = ["0.0.0.0:1", "[::1]:2"]
unix_socket_dir = "."
max_clients = 3
tls = "disable"
login_timeout = "4s"
max_logins = 5
[auth]
method = "md5"
users_file = "users.txt"
users = { bob = "${BOB}" }
[admin]
users = ["a"]
stats_users = ["b", "c"]
http = ""
[log]
level = "debug"
format = "text"
[pool]
mode = "session"
size = 6
min_size = 1
reserve_size = 2
reserve_after = "7ms"
max_db_connections = 8
max_user_connections = 9
query_wait_timeout = "10s"
idle_timeout = "11s"
lifetime = "12s"
connect_timeout = "13s"
idle_transaction_timeout = "14s"
transaction_timeout = "15s"
query_timeout = "16s"
client_idle_timeout = "17s"
cancel_wait_timeout = "1h"
prepared_statements = 0
[databases.a]
primary = "postgres://u:${BOB}@h:1/d?sslmode=require"
replicas = ["host=r1", "host=r2 port=2 user=other weight=3 password_file=pw"]
monitor = "user=m password_file=pw"
pool = { size = 40 }
[databases.a.routing]
enabled = false
consistency = "strong"
max_lag = "2s"
causal_wait = "0"
rules = [{ match = { user = "u", application_name = "n", table = "t", fingerprint = "f" }, target = "replica" }]
[databases.a.cache]
enabled = true
size = "1GB"
consistency = "ttl"
max_staleness = "1s"
max_entry = "3kB"
invalidation = "wal"
[[databases.a.cache.rules]]
match.table = "prices"
ttl = "5s"
cache = false
[databases.a.slow_log]
threshold = "200ms"
explain = false
sample = 0.5
parameters = "log"
plans_per_second = 3
file = "slow"
[databases."*"]
primary = "host=h"
`
	c, err := config.Parse(filepath.Join(dir, "p.toml"), []byte(text), env("BOB", "b b"))
	if err != nil {
		t.Fatal(err)
	}
	pool := config.Pool{
		Mode: "session", Size: 6, MinSize: 1, ReserveSize: 2, ReserveAfter: 7 * time.Millisecond, MaxDBConnections: 8,
		MaxUserConnections: 9, QueryWaitTimeout: 10 * time.Second, IdleTimeout: 11 * time.Second, Lifetime: 12 * time.Second,
		ConnectTimeout: 13 * time.Second, IdleTransactionTimeout: 14 * time.Second, TransactionTimeout: 15 * time.Second,
		QueryTimeout: 16 * time.Second, ClientIdleTimeout: 17 * time.Second, CancelWaitTimeout: time.Hour,
	}
	poolA := pool
	poolA.Size = 40
	routing := config.Routing{Consistency: "session", MaxLag: time.Second, CausalWait: 5 * time.Millisecond}
	cache := config.Cache{Size: 256 << 20, Consistency: "bounded", MaxStaleness: 200 * time.Millisecond, MaxEntry: 1 << 20, Invalidation: "auto"}
	slow := config.SlowLog{Explain: true, Sample: 1, Parameters: "redact", PlansPerSecond: 2}
	checks := []struct{ got, want any }{
		{c.Listen, config.Listen{Address: []string{"0.0.0.0:1", "[::1]:2"}, UnixSocketDir: dir, MaxClients: 3, TLS: "disable", LoginTimeout: 4 * time.Second, MaxLogins: 5}},
		{c.Auth, config.Auth{Method: "md5", UsersFile: filepath.Join(dir, "users.txt"), Users: map[string]string{"bob": "b b"}}},
		{c.Admin, config.Admin{Users: []string{"a"}, StatsUsers: []string{"b", "c"}, Compat: "1.25"}},
		{c.Log, config.Log{Level: "debug", Format: "text"}},
		{c.Pool, pool},
		{*c.Databases["*"], config.Database{
			Name: "*", Primary: "host=h port=5432 sslmode=prefer", Pool: pool, Routing: routing, Cache: cache, SlowLog: slow,
		}},
		{*c.Databases["a"], config.Database{
			Name: "a", Primary: "host=h port=1 dbname=d user=u password='b b' sslmode=require",
			Replicas: []string{
				"host=r1 port=5432 dbname=d user=u password='b b' sslmode=require",
				"host=r2 port=2 dbname=d user=other password='from file' sslmode=require",
			},
			Weights: []int{1, 3}, Pool: poolA, Monitor: "user=m password='from file'",
			Routing: config.Routing{Consistency: "strong", MaxLag: 2 * time.Second, Rules: []config.RoutingRule{
				{Match: config.Match{User: "u", ApplicationName: "n", Table: "t", Fingerprint: "f"}, Target: "replica"},
			}},
			Cache: config.Cache{
				Enabled: true, Size: 1 << 30, Consistency: "ttl", MaxStaleness: time.Second, MaxEntry: 3 << 10, Invalidation: "wal",
				Rules: []config.CacheRule{{Match: config.Match{Table: "prices"}, TTL: 5 * time.Second}},
			},
			SlowLog: config.SlowLog{Threshold: 200 * time.Millisecond, Sample: 0.5, Parameters: "log", PlansPerSecond: 3, File: filepath.Join(dir, "slow")},
		}},
	}
	for _, check := range checks {
		if !reflect.DeepEqual(check.got, check.want) {
			t.Errorf("got  %+v\nwant %+v", check.got, check.want)
		}
	}
}

func TestContractFileIsAccepted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	pw := filepath.Join(dir, "pw")
	if err := os.WriteFile(pw, []byte("canary"), 0o600); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/contract.toml") // shared/design/penstock.toml
	if err != nil {
		t.Fatal(err)
	}
	text = []byte(strings.NewReplacer("/run/secrets/shop", pw, "/run/secrets/penstock", pw).Replace(string(text)))
	c, err := config.Parse("penstock.toml", text, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Databases["shop"].Pool.Size != 40 || !slices.Equal(c.Databases["shop"].Weights, []int{1, 2}) {
		t.Errorf("database is %+v", c.Databases["shop"])
	}
	var notices []string
	for _, n := range c.Notices() {
		notices = append(notices, n.Key+": "+n.Message)
	}
	wantLines(t, notices,
		"admin.users: nobody can log in to the console: none of admin.users and admin.stats_users has a secret in [auth.users]",
		"admin.http: this release has no HTTP server yet; the setting has no effect",
		"databases.shop.cache: this release does not cache yet; all statements go to the server",
		"databases.shop.slow_log: this release has no slow log yet; nothing is written",
	)
}

func TestReplicasAloneAreANotice(t *testing.T) {
	t.Parallel()
	c := mustParse(t, minimal+"replicas = [\"host=b\"]\n[admin]\nusers=[\"shop\"]\n")
	if !c.Databases["shop"].Routing.Enabled || len(c.Notices()) != 0 {
		t.Errorf("routing is off although there are replicas: %v", c.Notices())
	}
	c = mustParse(t, "[databases.shop]\nprimary = \"host=a\"\nreplicas = [\"host=b\"]\n[auth]\nmethod = \"trust\"\n")
	if n := c.Notices(); c.Databases["shop"].Routing.Enabled || len(n) != 1 || !strings.Contains(n[0].String(), "databases.shop.replicas: reads are not routed: the hosts are to be probed, and neither monitor nor primary names a user to do it as") {
		t.Errorf("notices are %v", n)
	}
}

func TestTrustBeyondLoopbackIsANotice(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]int{"127.0.0.1:1": 0, "[::1]:1": 0, "localhost:1": 0, "0.0.0.0:1": 1, "[::]:1": 1, "db.example:1": 1} {
		c := mustParse(t, "[auth]\nmethod = \"trust\"\n[listen]\naddress = [\""+address+"\"]\n"+minimal)
		if n := c.Notices(); len(n) != want {
			t.Errorf("%s: %d notices, want %d: %v", address, len(n), want, n)
		}
	}
}

func TestPasswordOfOneDatabaseNeverOpensAnother(t *testing.T) {
	t.Parallel()
	const nobody = "penstock.toml: auth: nobody could log in: name users in users_file or [auth.users], or give every primary the same user and password"
	for name, other := range map[string]string{
		"other user":     "host=b user=boss password=x",
		"other password": "host=b user=shop password=x",
		"no password":    "host=b user=boss",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wantLines(t, problemsOf(t, minimal+"[databases.b]\nprimary = \""+other+"\"\n"), nobody)
		})
	}
	c := mustParse(t, minimal+"[databases.b]\nprimary = \"host=b\"\n[databases.c]\nprimary = \"host=b user=shop password=canary-shop\"\n")
	if want := map[string]string{"shop": "canary-shop"}; !reflect.DeepEqual(c.Auth.Users, want) {
		t.Errorf("users are %v, want %v", c.Auth.Users, want)
	}
	wantLines(t, problemsOf(t, "[databases.b]\nprimary = \"host=b\"\n"), nobody)
	wantLines(t, problemsOf(t, "[databases.b]\nprimary = \"host=b user=u\"\n"), nobody)
}

func TestLoadReadsFileAndEnvironment(t *testing.T) {
	t.Setenv("PENSTOCK_TEST_PASSWORD", "abc")
	name := write(t, "p.toml", "[databases.\"*\"]\nprimary = \"host=h user=u password=${PENSTOCK_TEST_PASSWORD}\"\n")
	c, err := config.Load(name)
	if err != nil {
		t.Fatal(err)
	}
	if c.Path != name || c.Auth.Users["u"] != "abc" {
		t.Errorf("path %q, users %v", c.Path, c.Auth.Users)
	}
}

func TestLoadSaysWhyAFileCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	_, err := config.Load(filepath.Join(dir, "none.toml"))
	if want := filepath.Join(dir, "none.toml") + ": no such file"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = config.Load(dir)
	if want := dir + ": is not a regular file"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	big := write(t, "big.toml", strings.Repeat("#", 1<<20+1))
	if _, err = config.Load(big); err == nil || err.Error() != big+": is too large" {
		t.Errorf("got %v", err)
	}
}

func TestWholeConnectionStringMayComeFromTheEnvironment(t *testing.T) {
	t.Parallel()
	c := mustParse(t, "[databases.a]\nprimary = \"${DSN}\"\n", "DSN", "postgres://u:p${x@h/a")
	if got := c.Databases["a"].Primary; got != "host=h port=5432 dbname=a user=u password=p${x sslmode=prefer" {
		t.Errorf("primary is %q", got)
	}
}
