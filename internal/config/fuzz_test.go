package config_test

import (
	"errors"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/config"
)

// FuzzParse: no input makes Parse panic or tell a variable's value; what is
// accepted can be told, read again, and is equal to itself.
func FuzzParse(f *testing.F) {
	contract, err := os.ReadFile("testdata/contract.toml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(contract))
	f.Add(config.SampleFile())
	f.Add(minimal)
	f.Add("[databases.\"*\"]\nprimary = \"postgres://u:${P}@[::1]:1/d?sslmode=require\"\n[auth.users]\nbob=\"${P}\"")
	f.Add("[auth]\nmethod=\"trust\"\n[databases]\na.primary='''host=a password='x\\\\'''' '''")
	f.Add("[[databases.a.routing.rules]]\nmatch={user='x'}\n[[databases.a.routing.rules]]\ntarget='x'")
	const canary = "Qx7canary"
	lookup := func(string) string { return canary }
	f.Fuzz(func(t *testing.T, text string) {
		if strings.Contains(text, canary) {
			return
		}
		checkIndex(t, text)
		c, err := config.Parse("penstock.toml", []byte(text), lookup)
		if err != nil {
			problems, ok := errors.AsType[config.Problems](err)
			if !ok || len(problems) == 0 || err.Error() == "" {
				t.Fatalf("error is %T %v", err, err)
			}
			for _, p := range problems {
				if p.Line > strings.Count(text, "\n")+1 {
					t.Errorf("%s: there is no such line", p)
				}
			}
			if strings.Contains(err.Error(), canary) {
				t.Errorf("tells a variable: %v", err)
			}
			return
		}
		again, err := config.Parse("penstock.toml", []byte(text), lookup)
		if err != nil {
			t.Fatal(err)
		}
		if changes := append(config.Diff(c, c), config.Diff(c, again)...); len(changes) > 0 {
			t.Errorf("differs from itself: %+v", changes)
		}
		c.Settings()
	})
}

// FuzzFromDSN: no DSN makes FromDSN panic; an accepted one can be told without
// its password.
func FuzzFromDSN(f *testing.F) {
	f.Add("postgres://u:p@[::1]:1/d?sslmode=require")
	f.Add(`host=a user=u password='it\'s' port=1`)
	f.Fuzz(func(t *testing.T, text string) {
		c, err := config.FromDSN(text)
		if err != nil {
			return
		}
		for _, secret := range c.Auth.Users {
			plain, _ := url.PathUnescape(strings.ReplaceAll(text, `\`, ""))
			if len(secret) < 6 || strings.Count(text, secret) > 1 || strings.Count(plain, strings.ReplaceAll(secret, `\`, "")) > 1 {
				continue // The same text stands elsewhere too.
			}
			for _, s := range c.Settings() {
				if strings.Contains(s.Value, secret) && !strings.Contains(s.Default, secret) {
					t.Errorf("%s shows the password %q of %q: %s", s.Key, secret, text, s.Value)
				}
			}
		}
	})
}
