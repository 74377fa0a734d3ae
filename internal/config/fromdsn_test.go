package config_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/config"
)

func TestDSNAloneIsEnough(t *testing.T) {
	t.Setenv("X", "expanded")
	pw := write(t, "pw", "from file\n")
	for _, tt := range []struct {
		dsn, method string
		users       map[string]string
		admins      []string
		primaries   map[string]string
	}{
		{
			"postgres://u:p%24%7BX%7D@h/shop", "scram-sha-256",
			map[string]string{"u": "p${X}"},
			[]string{"penstock", "u"},
			map[string]string{
				"shop": "host=h port=5432 dbname=shop user=u password=p${X} sslmode=prefer",
				"*":    "host=h port=5432 user=u password=p${X} sslmode=prefer",
			},
		},
		{
			"host=h user=u password_file=" + pw, "scram-sha-256",
			map[string]string{"u": "from file"},
			[]string{"penstock", "u"},
			map[string]string{
				"u": "host=h port=5432 dbname=u user=u password='from file' sslmode=prefer",
				"*": "host=h port=5432 user=u password='from file' sslmode=prefer",
			},
		},
		{
			"host=h user=u", "trust", nil,
			[]string{"penstock", "u"},
			map[string]string{"u": "host=h port=5432 dbname=u user=u sslmode=prefer", "*": "host=h port=5432 user=u sslmode=prefer"},
		},
		{
			"host=/run/postgresql", "trust", nil,
			[]string{"penstock"},
			map[string]string{"*": "host=/run/postgresql port=5432 sslmode=prefer"},
		},
	} {
		c, err := config.FromDSN(tt.dsn)
		if err != nil {
			t.Fatalf("%s: %v", tt.dsn, err)
		}
		primaries := map[string]string{}
		for name, d := range c.Databases {
			primaries[name] = d.Primary
			if d.Name != name || d.Pool != config.Default().Pool {
				t.Errorf("%s: database %s is %+v", tt.dsn, name, d)
			}
		}
		if c.Auth.Method != tt.method || !reflect.DeepEqual(c.Auth.Users, tt.users) || !slices.Equal(c.Admin.Users, tt.admins) ||
			!reflect.DeepEqual(primaries, tt.primaries) || !slices.Equal(c.Listen.Address, []string{"127.0.0.1:6432"}) {
			t.Errorf("%s: got auth %+v, admin %v, primaries %v, address %v", tt.dsn, c.Auth, c.Admin.Users, primaries, c.Listen.Address)
		}
	}
}

func TestDSNThatIsNotEnoughIsRefused(t *testing.T) {
	t.Parallel()
	for dsn, want := range map[string]string{
		"":                                  "DSN: the connection string is empty",
		"user=u password=canary":            "DSN: host: is missing; for the server's unix socket write its folder, such as host=/run/postgresql",
		"host=h password=canary":            "DSN: user: is missing, the password needs it",
		"host=h weight=2":                   "DSN: weight: is for replicas",
		"host=h dbname=pgbouncer":           "DSN: dbname: this name is the console's; use another and dbname= in primary",
		"host=h user=u password=can ary":    "DSN: word 4 is not keyword=value; a value with spaces needs quotes '...'",
		"host=h password_file=/nonexistent": "DSN: password_file: no such file or directory",
		"host=h port=x sslmode=y":           "DSN: port: must be a number from 1 to 65535\nDSN: sslmode: must be one of disable, allow, prefer, require, verify-ca, verify-full",
	} {
		_, err := config.FromDSN(dsn)
		if err == nil || err.Error() != want || strings.Contains(err.Error(), "canary") {
			t.Errorf("%s\n got %v\nwant %s", dsn, err, want)
		}
	}
}
