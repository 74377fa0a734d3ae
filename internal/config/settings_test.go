package config_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/config"
)

func TestEveryFieldIsARowOfTheTable(t *testing.T) {
	t.Parallel()
	// Fields that the file has, but not as a setting of their own.
	parts := []string{"Database.Name", "Database.Weights", "Database.Replicas", "Database.Pool", "Database.Routing", "Database.Cache", "Database.SlowLog"}
	seen := 0
	for target, fields := range config.Fields() {
		section := reflect.ValueOf(target).Elem()
		for i := range section.NumField() {
			name := section.Type().Name() + "." + section.Type().Field(i).Name
			if slices.Contains(parts, name) {
				continue
			}
			seen++
			if !slices.Contains(fields, section.Field(i).Addr().Interface()) {
				t.Errorf("%s has no row", name)
			}
		}
	}
	if seen < 60 {
		t.Errorf("only %d fields checked", seen)
	}
}

func TestEveryRowHasItsOwnText(t *testing.T) {
	t.Parallel()
	for name, doc := range config.RowDocs() {
		if doc == "" || !strings.HasSuffix(doc, ".") || strings.Contains(doc, "|") {
			t.Errorf("%s: text is %q", name, doc)
		}
	}
}

func TestEffectsHaveNames(t *testing.T) {
	t.Parallel()
	for effect, want := range map[config.Effect]string{config.Live: "live", config.NewConnections: "new connections", config.Restart: "restart"} {
		if effect.String() != want {
			t.Errorf("got %q, want %q", effect, want)
		}
	}
}

func TestSettingsTellValueDefaultAndEffect(t *testing.T) {
	t.Parallel()
	c := mustParse(t, `
[listen]
address = ["127.0.0.1:1", "[::1]:1"]
[pool]
size = 30
lifetime = "90m"
`+minimal+`
replicas = ["host=b password=canary-b", "host=c weight=2"]
pool = { min_size = 5 }
[databases.shop.cache]
size = "1536MB"
[[databases.shop.cache.rules]]
match = { table = "a", user = "b" }
ttl = "5s"
`)
	got := map[string]string{}
	var keys []string
	for _, s := range c.Settings() {
		got[s.Key] = fmt.Sprintf("%s|%s|%s", s.Value, s.Default, s.Effect)
		keys = append(keys, s.Key)
		if s.Doc == "" {
			t.Errorf("%s has no text", s.Key)
		}
	}
	for key, want := range map[string]string{
		"listen.address":                 "127.0.0.1:1, [::1]:1|127.0.0.1:6432|restart",
		"pool.size":                      "30|20|live",
		"pool.lifetime":                  "5400s|3600s|live",
		"pool.mode":                      "transaction|transaction|new connections",
		"auth.users":                     "shop=****||new connections",
		"databases.shop.primary":         "host=10.0.0.1 port=5432 dbname=shop user=shop password=**** sslmode=prefer||new connections",
		"databases.shop.replicas":        "host=b port=5432 dbname=shop user=shop password=**** sslmode=prefer, host=c port=5432 dbname=shop user=shop password=**** sslmode=prefer weight=2||new connections",
		"databases.shop.pool.min_size":   "5|0|live",
		"databases.shop.cache.size":      "1536MB|256MB|live",
		"databases.shop.cache.rules":     `{ match = { user = "b", table = "a" }, ttl = "5s", cache = true }||live`,
		"databases.shop.pool.size":       "",
		"databases.shop.cache.enabled":   "",
		"databases.shop.routing.enabled": "",
	} {
		if got[key] != want {
			t.Errorf("%s\n got %s\nwant %s", key, got[key], want)
		}
	}
	if keys[0] != "listen.address" || slices.Index(keys, "pool.size") > slices.Index(keys, "databases.shop.primary") {
		t.Errorf("order is %v", keys)
	}
}

func TestDiffTellsEachChangeOnce(t *testing.T) {
	t.Parallel()
	before := mustParse(t, `
[pool]
size = 20
[listen]
max_clients = 10
[databases.gone]
primary = "host=g"
[databases.a]
primary = "host=a"
replicas = ["host=r"]
pool = { mode = "session" }
`+minimal)
	after := mustParse(t, `
[pool]
size = 30
mode = "session"
[listen]
address = ["127.0.0.1:7"]
max_clients = 10
[databases.new]
primary = "host=n user=shop password=canary-shop"
[databases.a]
primary = "host=a port=1"
replicas = ["host=r weight=2"]
pool = { size = 20 }
`+minimal)
	wantLines(t, diffLines(before, after),
		`databases.a.primary: "host=a port=5432 dbname=a sslmode=prefer" -> "host=a port=1 dbname=a sslmode=prefer" (new connections)`,
		`databases.a.replicas: "host=r port=5432 dbname=a sslmode=prefer" -> "host=r port=5432 dbname=a sslmode=prefer weight=2" (new connections)`,
		`databases.gone: "host=g port=5432 dbname=gone sslmode=prefer" -> "" (new connections)`,
		`databases.new: "" -> "host=n port=5432 dbname=new user=shop password=**** sslmode=prefer" (new connections)`,
		`listen.address: "127.0.0.1:6432" -> "127.0.0.1:7" (restart)`,
		`pool.mode: "transaction" -> "session" (new connections)`,
		`pool.size: "20" -> "30" (live)`,
	)
	// The other way round, database a leaves the pool's size for its own.
	own := mustParse(t, "[pool]\nsize = 30\n"+minimal)
	wantLines(t, diffLines(own, mustParse(t, "[pool]\nsize = 30\n"+minimal+"pool.size = 20\n")),
		`databases.shop.pool.size: "30" -> "20" (live)`)
}

func diffLines(before, after *config.Config) []string {
	var lines []string
	for _, c := range config.Diff(before, after) {
		lines = append(lines, fmt.Sprintf("%s: %q -> %q (%s)", c.Key, c.Old, c.New, c.Effect))
	}
	return lines
}

func TestDiffNoticesTheSmallestChangeOfEachSetting(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ before, after, want string }{
		{"slow_log.sample = 0.5", "slow_log.sample = 0.50000001", "databases.shop.slow_log.sample"},
		{"cache.size = \"2MB\"", "cache.size = \"2097153B\"", "databases.shop.cache.size"},
		{"pool.lifetime = \"1s\"", "pool.lifetime = \"1000000001ns\"", "databases.shop.pool.lifetime"},
		{"cache.rules = [{ttl=\"1s\"}]", "cache.rules = [{ttl=\"1s\", cache=false}]", "databases.shop.cache.rules"},
		{"replicas = [\"host=a\"]\nrouting.rules = [{target=\"auto\"}]", "replicas = [\"host=a\"]\nrouting.rules = [{match={user=\"x\"}}]", "databases.shop.routing.rules"},
		{"slow_log.explain = true", "slow_log.explain = false", "databases.shop.slow_log.explain"},
		{"monitor = \"user=a\"", "monitor = \"user=a password=x\"", "databases.shop.monitor"},
		{"[admin]\nusers=[\"a, b\"]", "[admin]\nusers=[\"a\", \"b\"]", "admin.users"},
	} {
		changes := config.Diff(mustParse(t, minimal+tt.before), mustParse(t, minimal+tt.after))
		if len(changes) != 1 || changes[0].Key != tt.want {
			t.Errorf("%s: got %+v", tt.want, changes)
		}
	}
}

func TestChangedSecretIsToldButNotShown(t *testing.T) {
	t.Parallel()
	const text = `
[auth.users]
bob = "${SECRET}"
[databases.shop]
primary = "host=a user=u password=${SECRET} sslmode=require sslpassword=${SECRET}"
replicas = ["host=b user=v password='x ${SECRET}'"]
monitor = "user=m password=${SECRET}"
`
	before := mustParse(t, text, "SECRET", "canary'one")
	after := mustParse(t, text, "SECRET", "canary'two")
	lines := diffLines(before, after)
	wantLines(t, lines,
		`auth.users: "bob=****" -> "bob=**** (secret changed)" (new connections)`,
		`databases.shop.monitor: "user=m password=****" -> "user=m password=**** (secret changed)" (new connections)`,
		`databases.shop.primary: "host=a port=5432 dbname=shop user=u password=**** sslmode=require sslpassword=****" -> "host=a port=5432 dbname=shop user=u password=**** sslmode=require sslpassword=**** (secret changed)" (new connections)`,
		`databases.shop.replicas: "host=b port=5432 dbname=shop user=v password=**** sslmode=require sslpassword=****" -> "host=b port=5432 dbname=shop user=v password=**** sslmode=require sslpassword=**** (secret changed)" (new connections)`,
	)
	wantNoCanary(t, "Diff", lines)
	wantNoCanary(t, "Settings", after.Settings())
	wantNoCanary(t, "Notices", after.Notices())
	if fromDSN, err := config.FromDSN("host=h user=u password=canary"); err != nil {
		t.Fatal(err)
	} else {
		wantNoCanary(t, "Settings", fromDSN.Settings())
	}
}

func TestHandMadeConnectionStringIsNotShownEither(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Databases["a"] = &config.Database{Name: "a", Primary: "host=a password=x canary", Replicas: []string{"canary"}, Monitor: "canary"}
	wantNoCanary(t, "Settings", c.Settings())
	wantNoCanary(t, "Diff", config.Diff(config.Default(), c))
}

func wantNoCanary(t *testing.T, what string, value any) {
	t.Helper()
	if text := fmt.Sprintf("%+v", value); strings.Contains(text, "canary") {
		t.Errorf("%s shows a secret: %s", what, text)
	}
}

func TestProblemsNeverShowSecrets(t *testing.T) {
	t.Parallel()
	pw := write(t, "pw", "canary")
	for _, text := range []string{
		"[databases.a]\nprimary = \"host=a password=x canary\"",
		"[databases.a]\nprimary = \"host=a password=x canary=y port=canary\"",
		"[databases.a]\nprimary = \"host=a port=x password_file=" + pw + "\"",
		"[databases.a]\nprimary = \"${SECRET}\"",
		"[databases.a]\nprimary = \"host=a port=${SECRET} sslmode=${SECRET}\"",
		"[databases.a]\nprimary = \"postgres://u:can/canary@a\"",
		"[auth.users]\nbob = canary",
		"[auth.users]\nbob = 12canary",
		"[auth.users]\nbob = \"canary\"canary",
		"[auth.users]\nbob = \"canary",
		"[auth.users]\nbob = [\"canary\"]",
		"[auth.users]\nbob = { \"canary\" = 1 }",
		"[auth.users]\nbob = 'it''canary'",
		"[auth.users]\nbob = \"a\\canary\"",
		"[auth.users]\nbob = \"\"\"\ncanary",
		"[log]\nlevel = \"${SECRET}\"",
		"[pool]\nlifetime = \"${SECRET}\"",
		"[listen]\naddress = [\"${SECRET}\"]\ntls_cert_file = \"${SECRET}\"\nunix_socket_dir = \"/${SECRET}\"",
		"[auth]\nusers_file = \"${SECRET}\"\nmethod = \"${SECRET}\"",
		"[admin]\nhttp = \"${SECRET}\"\nusers = [\"${SECRET}\\u0001\"]",
	} {
		wantNoCanary(t, "Problems", problemsOf(t, text, "SECRET", "canary"))
	}
	for number := range strings.SplitSeq("99999999999999999998 0x99999999999999999998 1e99999999999999999998 1979-99999999999999999998", " ") {
		if text := strings.Join(problemsOf(t, "[auth.users]\nbob = "+number), "\n"); strings.Contains(text, "9999998") {
			t.Errorf("shows a number: %s", text)
		}
	}
}

func TestDurationsAndSizesAreWrittenAsPeopleDo(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"0": "0s", "90m": "5400s", "1.5s": "1500ms", "5ms": "5ms", "1us": "1µs"} {
		c := mustParse(t, "[pool]\nlifetime = \""+in+"\"\n"+minimal)
		if got := setting(c, "pool.lifetime"); got != want {
			t.Errorf("%s: got %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]int64{"1B": 1, "64kB": 64 << 10, "64 MB": 64 << 20, "2GB": 2 << 30, "1TB": 1 << 40} {
		c := mustParse(t, minimal+"cache = { size = \""+in+"\", max_entry = \"1B\" }\n")
		if got := c.Databases["shop"].Cache.Size; got != want {
			t.Errorf("%s: got %d, want %d", in, got, want)
		}
	}
	if d := config.Default().Pool.CancelWaitTimeout; d != 10*time.Second {
		t.Errorf("cancel_wait_timeout is %s", d)
	}
}

func setting(c *config.Config, key string) string {
	for _, s := range c.Settings() {
		if s.Key == key {
			return s.Value
		}
	}
	return ""
}
