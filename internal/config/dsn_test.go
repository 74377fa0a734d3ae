package config_test

import (
	"maps"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/penstock/penstock/internal/config"
)

func TestConnectionStringIsWrittenInOneForm(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"host=a":                                     "host=a",
		" user = u\thost= a ":                        "host=a user=u",
		`password='it\'s \\ x' host=a`:               `host=a password='it\'s \\ x'`,
		`password=a\ b\'c host=a`:                    `host=a password='a b\'c'`,
		`host=a password=''`:                         "host=a",
		"postgres://u:p@h:1/d":                       "host=h port=1 dbname=d user=u password=p",
		"postgresql://h":                             "host=h",
		"postgres://":                                "",
		"postgres://u@/d?host=/run/postgresql":       "host=/run/postgresql dbname=d user=u",
		"postgres://[::1]:5433/d":                    "host=::1 port=5433 dbname=d",
		"postgres://[::1]/":                          "host=::1",
		"postgres://u:a%20b%40%2F@h/a%3Fb":           "host=h dbname=a?b user=u password='a b@/'",
		"postgres://h/d?ssl=true":                    "host=h dbname=d sslmode=require",
		"postgres://h/d?sslmode=disable&user=u":      "host=h dbname=d user=u sslmode=disable",
		"postgres://%2Frun%2Fpg:5433/d":              "host=/run/pg port=5433 dbname=d",
		"host=${H} password=x${P}y":                  `host=h password='xa b\'=\\y'`,
		"postgres://u:${P}@${H}:1/d":                 `host=h port=1 dbname=d user=u password='a b\'=\\'`,
		"${D}":                                       "host=h user=u",
		"host=a password=$${P}":                      "host=a password=${P}",
		"host=a application_name=x options='-c a=b'": "host=a application_name=x options='-c a=b'",
	} {
		got, errs := config.ParseDSN(text, env("H", "h", "P", `a b'=\`, "D", "user=u host=h"))
		if len(errs) > 0 || got != want {
			t.Errorf("%s\n got %s %v\nwant %s", text, got, errs, want)
		}
	}
}

func TestBadConnectionStringIsRefusedWithoutShowingIt(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                    "the connection string is empty",
		"canary":                              "word 1 is not keyword=value; a value with spaces needs quotes '...'",
		"host=a password=x canary":            "word 3 is not keyword=value; a value with spaces needs quotes '...'",
		"password=x canary=y":                 "word 2: unknown keyword; a value with spaces needs quotes '...'",
		"host=a pasword=canary":               `word 2: unknown keyword, did you mean "password"?`,
		"host=a database=canary":              `word 2: unknown keyword, did you mean "dbname"?`,
		"host=a hostaddr=canary":              "word 2: keyword hostaddr is not supported",
		"host=a host=canary":                  "word 2: host is given twice",
		"=canary":                             "word 1 is not keyword=value; a value with spaces needs quotes '...'",
		"password='canary":                    "word 1: the closing quote of the value is missing",
		"password='can'ary' host=a":           `word 1: a quoted value must be followed by a space; write \' for a quote in it`,
		"host=a,canary":                       "host: one host per connection string, others belong in replicas",
		"port=canary":                         "port: must be a number from 1 to 65535",
		"port=0":                              "port: must be a number from 1 to 65535",
		"port=65536":                          "port: must be a number from 1 to 65535",
		"sslmode=canary":                      "sslmode: must be one of disable, allow, prefer, require, verify-ca, verify-full",
		"connect_timeout=-1":                  "connect_timeout: must be a number from 0 to 86400",
		"weight=0":                            "weight: must be a number from 1 to 1000",
		"password=canary password_file=/x":    "password and password_file are both given, keep one",
		"sslcert=/x":                          "sslcert and sslkey belong together, one is missing",
		"password=canary\x00":                 "the connection string holds a NUL byte",
		"password=${UNSET}":                   "password: environment variable UNSET is not set",
		"${UNSET}":                            "environment variable UNSET is not set",
		"password='${can ary}'":               `password: "${" must be followed by a variable's name and "}"; write "$${" for the characters themselves`,
		"${D}":                                "word 1 is not keyword=value; a value with spaces needs quotes '...'",
		"postgres://u:can/ary@h/d":            "the URL has an @ too many; in user, password and database write %40 for @, %2F for /, %3F for ?",
		"postgres://u:can@ary@h/d":            "the URL has an @ too many; in user, password and database write %40 for @, %2F for /, %3F for ?",
		"postgres://u:can?ary=1@h/d":          "the URL has an @ too many; in user, password and database write %40 for @, %2F for /, %3F for ?",
		"postgres://u:can#ary@h/d":            "the URL holds a #; in user, password and database write %23",
		"postgres://u:canary%zz@h/d":          "password: % must be followed by two hexadecimal digits; write %25 for % itself",
		"postgres://u:canary%00@h/d":          "password: holds a NUL byte",
		"postgres://h:canary/d":               "port: must be a number from 1 to 65535",
		"postgres://h:/d":                     "port: is missing after the colon",
		"postgres://::1/d":                    "host: an IPv6 address is written [::1]:5432",
		"postgres://[::1/d":                   "host: an IPv6 address is written [::1]:5432",
		"postgres://[::1]canary/d":            "host: an IPv6 address is written [::1]:5432",
		"postgres://h/d?canary":               "a part behind ? is not keyword=value",
		"postgres://h/d?canary=1":             "unknown keyword; a value with spaces needs quotes '...'",
		"postgres://h/d?host=canary":          "host is given twice",
		"postgres://h/d?password_fil=/canary": `unknown keyword, did you mean "password_file"?`,
	} {
		_, errs := config.ParseDSN(text, env("D", "canary"))
		if len(errs) != 1 || errs[0].Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, errs, want)
		}
	}
}

// TestConnectionStringMeansTheSameToPgconn holds our reading against the one of
// the library that will use the result.
func TestConnectionStringMeansTheSameToPgconn(t *testing.T) {
	for _, name := range []string{"PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGSSLMODE", "PGAPPNAME", "PGSERVICE"} {
		t.Setenv(name, "")
	}
	for _, text := range []string{
		"host=a port=1 dbname=d user=u password='it\\'s \\\\ x' sslmode=disable",
		`host=a password=a\ b\'c user=u sslmode=disable`,
		"postgres://u:a%20b%40%2F@h:2/a%3Fb?sslmode=disable&application_name=x",
		"postgres://u:p@[::1]:5433/d?sslmode=disable&connect_timeout=3",
		"postgres://u:p+q@h/d?sslmode=disable&options=-c%20a%3Db",
		"user=u host=/run/postgresql dbname=d target_session_attrs=any",
	} {
		ours, errs := config.ParseDSN(text, nil)
		if len(errs) > 0 {
			t.Fatal(errs)
		}
		direct, err := pgconn.ParseConfig(text)
		if err != nil {
			t.Fatal(err)
		}
		through, err := pgconn.ParseConfig(ours)
		if err != nil {
			t.Fatalf("%s: %v", ours, err)
		}
		if direct.Host != through.Host || direct.Port != through.Port || direct.Database != through.Database ||
			direct.User != through.User || direct.Password != through.Password || direct.ConnectTimeout != through.ConnectTimeout ||
			!maps.Equal(direct.RuntimeParams, through.RuntimeParams) {
			t.Errorf("%s is to pgconn another than\n%s", text, ours)
		}
	}
}

func TestPrimaryLeavesNothingToTheEnvironment(t *testing.T) {
	for name, value := range map[string]string{"PGHOST": "x", "PGPORT": "1", "PGDATABASE": "x", "PGSSLMODE": "require"} {
		t.Setenv(name, value)
	}
	c := mustParse(t, minimal)
	got, err := pgconn.ParseConfig(c.Databases["shop"].Primary)
	if err != nil {
		t.Fatal(err)
	}
	if got.Host != "10.0.0.1" || got.Port != 5432 || got.Database != "shop" || got.User != "shop" || len(got.Fallbacks) == 0 {
		t.Errorf("pgconn reads host %s port %d database %s user %s, %d fallbacks", got.Host, got.Port, got.Database, got.User, len(got.Fallbacks))
	}
}

func TestReplicaTakesOverWhatItDoesNotName(t *testing.T) {
	t.Parallel()
	file := write(t, "f.pem", "")
	for replica, want := range map[string]string{
		"host=b":                          "host=b port=5432 dbname=d user=u password=p sslmode=require sslcert=F sslkey=F",
		"host=b user=v":                   "host=b port=5432 dbname=d user=v sslmode=require sslcert=F sslkey=F",
		"host=b password=q port=3":        "host=b port=3 dbname=d user=u password=q sslmode=require sslcert=F sslkey=F",
		"host=b dbname=e sslmode=disable": "host=b port=5432 dbname=e user=u password=p sslmode=disable sslcert=F sslkey=F",
	} {
		c := mustParse(t, "[databases.s]\nprimary = \"host=a port=9 dbname=d user=u password=p sslmode=require sslcert="+file+" sslkey="+file+"\"\nreplicas = [\""+replica+"\"]\n")
		if got := strings.ReplaceAll(c.Databases["s"].Replicas[0], file, "F"); got != want {
			t.Errorf("%s\n got %s\nwant %s", replica, got, want)
		}
	}
}

func TestNearestFindsTyposOnly(t *testing.T) {
	t.Parallel()
	for word, want := range map[string]string{"sise": "size", "mni_size": "min_size", "x": "", "min-size": "min_size", "lifetimes": "lifetime"} {
		if got := config.Nearest(word, []string{"lifetime", "min_size", "size"}); got != want {
			t.Errorf("%s: got %q, want %q", word, got, want)
		}
	}
	for pair, want := range map[[2]string]int{{"", "abc"}: 3, {"abc", ""}: 3, {"abc", "abc"}: 0, {"abc", "acb"}: 1, {"abc", "xbcd"}: 2} {
		if got := config.EditDistance(pair[0], pair[1]); got != want {
			t.Errorf("%q: got %d, want %d", pair, got, want)
		}
	}
}
