package config_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/config"
)

func TestEachMistakeIsNamedWithItsLine(t *testing.T) {
	t.Parallel()
	// Each text stands before minimal, so its lines count from 1.
	for _, tt := range []struct{ name, text, want string }{
		{"unknown key with a likely name", "[pool]\nsise = 3", `penstock.toml:2: pool.sise: unknown setting, did you mean "size"?`},
		{"unknown key that belongs elsewhere", "[listen]\nprepared_statements = 3", `penstock.toml:2: listen.prepared_statements: unknown setting, "prepared_statements" belongs in "pool"`},
		{"unknown key", "[log]\nzzzzzzzz = 3", `penstock.toml:2: log.zzzzzzzz: unknown setting`},
		{"unknown table", "[pools]\nsize = 3", `penstock.toml:1: pools: unknown setting, did you mean "pool"?`},
		{"unknown top-level key", "\nport = 3", `penstock.toml:2: port: unknown setting`},
		{"unknown enumeration value", "[pool]\nmode = \"transactoin\"", `penstock.toml:2: pool.mode: unknown value "transactoin", did you mean "transaction"? Allowed: session, transaction, statement`},
		{"far enumeration value", "[log]\nformat = \"logfmt-like\"", `penstock.toml:2: log.format: unknown value "logfmt-like". Allowed: json, text`},
		{"negative size", "[pool]\nsize = -1", "penstock.toml:2: pool.size: must be from 1 to 100000"},
		{"size zero", "[pool]\nsize = 0", "penstock.toml:2: pool.size: must be from 1 to 100000"},
		{"min_size over size", "[pool]\nsize = 2\nmin_size = 3", "penstock.toml:3: pool.min_size: 3 is more than size, which is 2"},
		{"text for a number", "[pool]\nsize = \"3\"", "penstock.toml:2: pool.size: must be a whole number"},
		{"fraction for a whole number", "[pool]\nsize = 3.5", "penstock.toml:2: pool.size: must be a whole number"},
		{"number for a text", "[log]\nlevel = 1", "penstock.toml:2: log.level: must be a text in quotes"},
		{"number for a duration", "[pool]\nlifetime = 30", `penstock.toml:2: pool.lifetime: must be a duration in quotes such as "30s"`},
		{"duration without unit", "[pool]\nlifetime = \"30\"", `penstock.toml:2: pool.lifetime: must be a duration such as "500ms", "30s", "5m" or "1h"`},
		{"negative duration", "[pool]\nlifetime = \"-3s\"", "penstock.toml:2: pool.lifetime: must not be negative"},
		{"no time to log in", "[listen]\nlogin_timeout = \"0\"", "penstock.toml:2: listen.login_timeout: must be more than 0"},
		{"text for a list", "[admin]\nusers = \"a\"", `penstock.toml:2: admin.users: must be a list such as ["a", "b"]`},
		{"number in a list", "[admin]\nusers = [1]", `penstock.toml:2: admin.users: must be a list of texts such as ["a", "b"]`},
		{"empty user name", "[admin]\nusers = [\"a\", \"\"]", "penstock.toml:2: admin.users: entry 2 must be a user name of 1 to 63 bytes without control characters"},
		{"text for a table", "pool = \"x\"", "penstock.toml:1: pool: must be a table"},
		{"address without port", "[listen]\naddress = [\"127.0.0.1\"]", "penstock.toml:2: listen.address: entry 1 must be host:port, such as 127.0.0.1:6432 or [::1]:6432"},
		{"address without host", "[listen]\naddress = [\":6432\"]", "penstock.toml:2: listen.address: entry 1 has no host; for all addresses write 0.0.0.0 or [::]"},
		{"address with a wild port", "[listen]\naddress = [\"a:65536\"]", "penstock.toml:2: listen.address: entry 1 has a port that is no number from 0 to 65535"},
		{"address with a named port", "[listen]\naddress = [\"a:http\"]", "penstock.toml:2: listen.address: entry 1 has a port that is no number from 0 to 65535"},
		{"address with half an IP", "[listen]\naddress = [\"10.0.0:1\"]", "penstock.toml:2: listen.address: entry 1 has a host that is neither a name nor an IP address"},
		{"address with a bad IPv6", "[listen]\naddress = [\"[::g]:1\"]", "penstock.toml:2: listen.address: entry 1 has a host that is no IP address"},
		{"address twice", "[listen]\naddress = [\"a:1\", \"a:1\"]", "penstock.toml:2: listen.address: entry 2 is there twice"},
		{"nothing to listen on", "[listen]\naddress = []", "penstock.toml:2: listen.address: is empty and there is no unix_socket_dir: there is nothing to listen on"},
		{"socket folder missing", "[listen]\nunix_socket_dir = \"/nonexistent\"", "penstock.toml:2: listen.unix_socket_dir: no such file or directory"},
		{"socket folder is a file", "[listen]\nunix_socket_dir = \"/etc/passwd\"", "penstock.toml:2: listen.unix_socket_dir: is not a folder"},
		{"http not host:port", "[admin]\nhttp = \"9632\"", "penstock.toml:2: admin.http: must be host:port, such as 127.0.0.1:6432 or [::1]:6432"},
		{"tls=require without certificate", "[listen]\ntls = \"require\"", `penstock.toml:2: listen.tls: "require" needs tls_cert_file and tls_key_file`},
		{"unreadable certificate", "[listen]\ntls_cert_file = \"/nonexistent\"\ntls_key_file = \"/etc/passwd\"", "penstock.toml:2: listen.tls_cert_file: no such file or directory"},
		{"certificate that is none", "[listen]\ntls_cert_file = \"/etc/passwd\"\ntls_key_file = \"/etc/passwd\"", "penstock.toml:2: listen.tls_cert_file: does not fit tls_key_file, or one of them is not in PEM"},
		{"certificate without key", "[listen]\ntls_cert_file = \"/etc/passwd\"", "penstock.toml:1: listen.tls_key_file: is missing, tls_cert_file needs it"},
		{"CA that is none", "[listen]\ntls_ca_file = \"/etc/passwd\"", "penstock.toml:2: listen.tls_ca_file: holds no certificate in PEM"},
		{"method cert", "[auth]\nmethod = \"cert\"", `penstock.toml:2: auth.method: "cert" is not supported by this release`},
		{"method hba", "[auth]\nmethod = \"hba\"", `penstock.toml:2: auth.method: "hba" is not supported by this release`},
		{"auth query", "[auth]\nquery = \"select 1\"", "penstock.toml:2: auth.query: not supported by this release"},
		{"auth query user", "[auth]\nquery_user = \"x\"", "penstock.toml:2: auth.query_user: not supported by this release"},
		{"hba file", "[auth]\nhba_file = \"/etc/passwd\"", "penstock.toml:2: auth.hba_file: not supported by this release"},
		{"proxy protocol", "[listen]\nproxy_protocol_from = [\"10.0.0.0/8\"]", "penstock.toml:2: listen.proxy_protocol_from: not supported by this release"},
		{"users file missing", "[auth]\nusers_file = \"none.txt\"", "penstock.toml:2: auth.users_file: no such file or directory"},
		{"users file is a folder", "[auth]\nusers_file = \"/\"", "penstock.toml:2: auth.users_file: is not a regular file"},
		{"user with an empty secret", "[auth.users]\nbob = \"\"", "penstock.toml:2: auth.users.bob: the secret is empty"},
		{"user with a number", "[auth.users]\nbob = 12345", "penstock.toml:2: auth.users.bob: must be a text in quotes"},
		{"users as a text", "[auth]\nusers = \"bob\"", "penstock.toml:2: auth.users: must be a table"},
		{"unset variable", "[auth.users]\nbob = \"${BOB}\"", "penstock.toml:2: auth.users.bob: environment variable BOB is not set"},
		{"unset variable in a list", "[admin]\nusers = [\"a\", \"${BOB}\"]", "penstock.toml:2: admin.users: entry 2: environment variable BOB is not set"},
		{"open variable", "[auth.users]\nbob = \"${BOB\"", `penstock.toml:2: auth.users.bob: "${" must be followed by a variable's name and "}"; write "$${" for the characters themselves`},
		{"console's name", "[databases.pgbouncer]\nprimary = \"host=a\"", "penstock.toml:1: databases.pgbouncer: this name is the console's; use another and dbname= in primary"},
		{"no primary", "[databases.a]\n[databases.a.pool]\nsize = 3", `penstock.toml:1: databases.a.primary: is missing; write primary = "host=... port=5432"`},
		{"database is no table", "[databases]\na = \"host=a\"", "penstock.toml:2: databases.a: must be a table"},
		{"primary is a number", "[databases.a]\nprimary = 1", "penstock.toml:2: databases.a.primary: must be a connection string in quotes"},
		{"primary without host", "[databases.a]\nprimary = \"port=1\"", "penstock.toml:2: databases.a.primary: host: is missing; for the server's unix socket write its folder, such as host=/run/postgresql"},
		{"weight in primary", "[databases.a]\nprimary = \"host=a weight=2\"", "penstock.toml:2: databases.a.primary: weight: is for replicas"},
		{"password file missing", "[databases.a]\nprimary = \"host=a password_file=/nonexistent\"", "penstock.toml:2: databases.a.primary: password_file: no such file or directory"},
		{"password file empty", "[databases.a]\nprimary = \"host=a password_file=/dev/null\"", "penstock.toml:2: databases.a.primary: password_file: is not a regular file"},
		{"replica on its own line", "[databases.a]\nprimary = \"host=a\"\nreplicas = [\n  \"host=b\",\n  \"port=x host=c\",\n]", "penstock.toml:5: databases.a.replicas[1]: port: must be a number from 1 to 65535"},
		{"replicas as a text", "[databases.a]\nprimary = \"host=a\"\nreplicas = \"host=b\"", `penstock.toml:3: databases.a.replicas: must be a list such as ["host=a", "host=b"]`},
		{"monitor with a host", "[databases.a]\nprimary = \"host=a\"\nmonitor = \"host=b user=m\"", "penstock.toml:3: databases.a.monitor: host: does not belong here, the hosts are those of primary and replicas"},
		{"monitor without a user", "[databases.a]\nprimary = \"host=a\"\nmonitor = \"password=m\"", "penstock.toml:3: databases.a.monitor: user: is missing"},
		{"pool of a database", "[databases.a]\nprimary = \"host=a\"\npool = { size = 2, min_size = 3 }", "penstock.toml:3: databases.a.pool.min_size: 3 is more than size, which is 2"},
		{"unknown key in a database's pool", "[databases.a]\nprimary = \"host=a\"\npool = { mod = 2 }", `penstock.toml:3: databases.a.pool.mod: unknown setting, did you mean "mode"?`},
		{"pool key in a database", "[databases.a]\nprimary = \"host=a\"\nmin_size = 2", `penstock.toml:3: databases.a.min_size: unknown setting, "min_size" belongs in "pool"`},
		{"routing without replicas", "[databases.a]\nprimary = \"host=a\"\nrouting.enabled = true", "penstock.toml:3: databases.a.routing.enabled: there are no replicas to send reads to"},
		{"routing rules no list", "[databases.a]\nprimary = \"host=a\"\nrouting.rules = 1", "penstock.toml:3: databases.a.routing.rules: must be a list of tables"},
		{"second rule", "[databases.a]\nprimary = \"host=a\"\n[[databases.a.cache.rules]]\nttl = \"1s\"\n[[databases.a.cache.rules]]\nttl = \"1x\"", `penstock.toml:6: databases.a.cache.rules[1].ttl: must be a duration such as "500ms", "30s", "5m" or "1h"`},
		{"rule target", "[databases.a]\nprimary = \"host=a\"\n[[databases.a.routing.rules]]\ntarget = \"master\"", `penstock.toml:4: databases.a.routing.rules[0].target: unknown value "master". Allowed: primary, replica, auto`},
		{"match key", "[databases.a]\nprimary = \"host=a\"\n[[databases.a.routing.rules]]\nmatch = { usr = \"a\" }", `penstock.toml:4: databases.a.routing.rules[0].match.usr: unknown setting, did you mean "user"?`},
		{"cache entry over its size", "[databases.a]\nprimary = \"host=a\"\ncache = { size = \"1kB\", max_entry = \"1MB\" }", "penstock.toml:3: databases.a.cache.max_entry: is more than size"},
		{"size without unit", "[databases.a]\nprimary = \"host=a\"\ncache.size = \"12\"", `penstock.toml:3: databases.a.cache.size: must be a size such as "64kB", "64MB" or "1GB"`},
		{"size as a number", "[databases.a]\nprimary = \"host=a\"\ncache.size = 12", `penstock.toml:3: databases.a.cache.size: must be a size in quotes such as "64MB"`},
		{"size beyond 64 bits", "[databases.a]\nprimary = \"host=a\"\ncache.size = \"9000000000GB\"", "penstock.toml:3: databases.a.cache.size: is too large"},
		{"negative bytes", "[databases.a]\nprimary = \"host=a\"\ncache.size = \"-1MB\"", "penstock.toml:3: databases.a.cache.size: must not be negative"},
		{"sample that is no number", "[databases.a]\nprimary = \"host=a\"\nslow_log.sample = nan", "penstock.toml:3: databases.a.slow_log.sample: must be from 0.0 to 1.0"},
		{"sample over one", "[databases.a]\nprimary = \"host=a\"\nslow_log.sample = 2", "penstock.toml:3: databases.a.slow_log.sample: must be from 0.0 to 1.0"},
		{"a key twice", "[log]\nlevel = \"info\"\nlevel = \"warn\"", "penstock.toml:3: not valid TOML: Key 'log.level' has already been defined."},
		{"no TOML", "[log]\nlevel = warn", "penstock.toml:2: not valid TOML: expected value but found ... instead"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			wantLines(t, problemsOf(t, tt.text+"\n"+minimal), tt.want)
		})
	}
}

func TestAllProblemsAreToldAtOnceInTheOrderOfLines(t *testing.T) {
	t.Parallel()
	wantLines(t, problemsOf(t, `
[pool]
sise = 1
lifetime = "x"
[listen]
tls = "verify-full"
[databases.a]
primary = "host=a prt=5 user=u sslmode=on"
pool = { mode = "x" }
`),
		`penstock.toml:3: pool.sise: unknown setting, did you mean "size"?`,
		`penstock.toml:4: pool.lifetime: must be a duration such as "500ms", "30s", "5m" or "1h"`,
		`penstock.toml:6: listen.tls: "verify-full" needs tls_cert_file and tls_key_file`,
		`penstock.toml:6: listen.tls: "verify-full" without tls_ca_file is not supported by this release`,
		`penstock.toml:8: databases.a.primary: word 2: unknown keyword, did you mean "port"?`,
		`penstock.toml:8: databases.a.primary: sslmode: must be one of disable, allow, prefer, require, verify-ca, verify-full`,
		`penstock.toml:9: databases.a.pool.mode: unknown value "x". Allowed: session, transaction, statement`,
	)
}

func TestFaultTakenOverFromPoolIsToldOnce(t *testing.T) {
	t.Parallel()
	wantLines(t, problemsOf(t, "[pool]\nmin_size = 30\n"+minimal+"pool = { mode = \"session\" }\n"),
		"penstock.toml:2: pool.min_size: 30 is more than size, which is 20")
}

func TestEmptyFileLacksADatabase(t *testing.T) {
	t.Parallel()
	const want = `penstock.toml: databases: there is no database; the shortest file is [databases."*"] with primary = "host=..."`
	wantLines(t, problemsOf(t, ""), want)
	wantLines(t, problemsOf(t, "databases = {}"), strings.Replace(want, ".toml:", ".toml:1:", 1))
}

func TestGoodCertificatesAreAccepted(t *testing.T) {
	t.Parallel()
	cert, key := selfSigned(t)
	c := mustParse(t, "[listen]\ntls = \"verify-full\"\ntls_cert_file = \""+cert+"\"\ntls_key_file = \""+key+"\"\ntls_ca_file = \""+cert+"\"\n"+minimal)
	if c.Listen.TLS != "verify-full" || c.Listen.TLSCertFile != cert || c.Listen.TLSKeyFile != key || c.Listen.TLSCAFile != cert {
		t.Errorf("listen is %+v", c.Listen)
	}
}

// selfSigned writes a certificate and its key.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	certDER, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, block := range map[string]*pem.Block{"c.pem": {Type: "CERTIFICATE", Bytes: certDER}, "k.pem": {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(filepath.Join(dir, name), pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "c.pem"), filepath.Join(dir, "k.pem")
}

func TestProblemLeavesOutWhatIsUnknown(t *testing.T) {
	t.Parallel()
	for want, p := range map[string]config.Problem{
		"f:3: k: m": {File: "f", Line: 3, Key: "k", Message: "m"},
		"f: k: m":   {File: "f", Key: "k", Message: "m"},
		"f:3: m":    {File: "f", Line: 3, Message: "m"},
		"DSN: m":    {File: "DSN", Message: "m"},
	} {
		if p.String() != want {
			t.Errorf("got %q, want %q", p.String(), want)
		}
	}
}

func TestPasswordFileHoldsOneLine(t *testing.T) {
	t.Parallel()
	for content, want := range map[string]string{
		"":                        "password_file: holds no password",
		"\n":                      "password_file: holds no password",
		"canary\nmore":            "password_file: must hold the password on one line and nothing else",
		"canary\x00":              "password_file: must hold the password on one line and nothing else",
		strings.Repeat("x", 5000): "password_file: is too large",
	} {
		name := write(t, "pw", content)
		wantLines(t, problemsOf(t, "[databases.a]\nprimary = \"host=a user=u password_file="+name+"\"\n"),
			"penstock.toml:2: databases.a.primary: "+want)
	}
	c := mustParse(t, "[databases.a]\nprimary = \"host=a user=u password_file="+write(t, "pw", " a'b\\ ${X}\r\n")+"\"\n")
	if c.Auth.Users["u"] != ` a'b\ ${X}` || c.Databases["a"].Primary != `host=a port=5432 dbname=a user=u password=' a\'b\\ ${X}' sslmode=prefer` {
		t.Errorf("got %q", c.Databases["a"].Primary)
	}
}
