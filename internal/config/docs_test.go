package config_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/penstock/penstock/internal/config"
)

var update = flag.Bool("update", false, "write docs/config.md and penstock.example.toml")

func TestDocsAreThoseOfTheTable(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{"../../docs/config.md": config.Markdown(), "../../penstock.example.toml": config.SampleFile()} {
		if *update {
			if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(name)
		if err != nil || string(got) != text {
			t.Errorf("%s is not what internal/config says (%v); run go test ./internal/config -run TestDocs -update", name, err)
		}
	}
}

func TestExampleFileHoldsTheDefaults(t *testing.T) {
	t.Parallel()
	c := mustParse(t, config.SampleFile(), "SHOP_PASSWORD", "x")
	for _, change := range config.Diff(config.Default(), c) {
		if change.Key != "auth.users" && change.Key != "databases.shop" {
			t.Errorf("%s is %q, the default is %q", change.Key, change.New, change.Old)
		}
	}
	// Also what is commented out must be right, once this release supports it.
	var all []string
	for line := range strings.Lines(config.SampleFile()) {
		all = append(all, strings.TrimPrefix(line, "# "))
	}
	text := strings.Join(all, "")
	text = text[strings.Index(text, "[databases.shop]"):]
	mustParse(t, strings.Replace(text, "users = {}", "", 1), "SHOP_PASSWORD", "x")
}
