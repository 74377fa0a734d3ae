package config

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// target returns the section of the default settings that documentation shows.
func (s section) target() any {
	c := Default()
	d := defaultDatabase("NAME", c.Pool)
	routing, cache := defaultRoutingRule(), defaultCacheRule()
	switch {
	case s.global != nil:
		return s.global(c)
	case s.database != nil:
		return s.database(d)
	case s.name == "routing.rules":
		return &routing
	case s.name == "cache.rules":
		return &cache
	default:
		return &Match{}
	}
}

// title is the header under which the section stands in a file.
func (s section) title() string {
	switch {
	case s.global != nil:
		return "[" + s.name + "]"
	case s.name == "":
		return "[databases.NAME]"
	case s.name == "rules.match":
		return "match = { ... }"
	case s.database == nil:
		return "[[databases.NAME." + s.name + "]]"
	default:
		return "[databases.NAME." + s.name + "]"
	}
}

// kind is what a user writes for the field.
func kind(field any) string {
	switch field.(type) {
	case *string:
		return "text"
	case *bool:
		return "true or false"
	case *int:
		return "number"
	case *float64:
		return "number"
	case *int64:
		return "size"
	case *time.Duration:
		return "duration"
	case *[]string, replicaList:
		return "list of texts"
	case *map[string]string, *Match:
		return "table"
	default:
		return "list of tables"
	}
}

// literal writes the field's value as TOML.
func literal(field any) string {
	switch f := field.(type) {
	case *string:
		return strconv.Quote(*f)
	case *time.Duration, *int64:
		return strconv.Quote(exact(f))
	case *[]string:
		var all []string
		for _, s := range *f {
			all = append(all, strconv.Quote(s))
		}
		return "[" + strings.Join(all, ", ") + "]"
	case replicaList, *[]RoutingRule, *[]CacheRule:
		return "[]"
	case *map[string]string, *Match:
		return "{}"
	default:
		return exact(field)
	}
}

const markdownHead = `# Settings

<!-- Generated from internal/config/table.go: go test ./internal/config -run TestDocs -update -->

Penstock reads one TOML file: ` + "`penstock run --config penstock.toml`" + `. The shortest one that works is

    [databases.shop]
    primary = "host=10.0.0.1 port=5432 user=shop password=..."

- Durations are written "500ms", "30s", "5m" or "1h", sizes "64kB", "64MB" or "1GB" (powers of 1024).
- "${NAME}" in any text is replaced by the environment variable NAME, which must be set; "$${" stands for "${".
  File names are relative to the folder of the configuration file.
- Passwords in connection strings, [auth.users] and password_file are never shown: not in SHOW CONFIG, not in the
  log, not in messages about the file.
- Unknown keys and values are errors. ` + "`penstock check`" + ` tells all problems at once, with file and line. A reload
  (RELOAD or SIGHUP) of a file with a problem changes nothing.
- Takes effect: *live* = at once; *new connections* = for clients that log in, or server connections that are opened,
  from then on; *restart* = when Penstock is started again.
- Settings marked **later** are checked, but this release does not act on them; those that would make logging in less
  safe than the file reads (auth.method "cert" and "hba", auth.query, auth.hba_file, listen.proxy_protocol_from) are
  refused.

## Connection strings

` + "`primary`, `replicas` and `monitor`" + ` take libpq's keyword/value form (` + "`host=a user='b c'`" + `) or a URL
(` + "`postgres://user:password@host:5432/dbname?sslmode=require`" + `). Keywords:
%s.
A word that is not in this list is an error. PG* environment variables do not fill gaps.
`

// markdown returns docs/config.md.
func markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, markdownHead, wrap(keywordNames()))
	for _, s := range sections() {
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", s.title(), s.doc)
		if s.name == "pool" && s.database != nil {
			continue
		}
		b.WriteString("\n| setting | type | default | takes effect | meaning |\n|---|---|---|---|---|\n")
		target := s.target()
		for _, r := range s.rows {
			field := r.field(target)
			doc := r.doc
			if r.later {
				doc = "**later** " + doc
			}
			if len(r.values) > 0 {
				doc += " One of `" + strings.Join(r.values, "`, `") + "`."
			}
			fmt.Fprintf(&b, "| `%s` | %s | `%s` | %s | %s |\n", r.name, kind(field), literal(field), r.effect, doc)
		}
	}
	return b.String()
}

// wrap writes names over lines of at most 110 characters.
func wrap(names []string) string {
	var b strings.Builder
	width := 0
	for i, name := range names {
		word := "`" + name + "`"
		if i < len(names)-1 {
			word += ","
		}
		switch {
		case i == 0:
		case width+len(word) >= 110:
			b.WriteByte('\n')
			width = 0
		default:
			b.WriteByte(' ')
			width++
		}
		b.WriteString(word)
		width += len(word)
	}
	return b.String()
}

const exampleHead = `# Penstock's settings with their defaults; docs/config.md says more.
# Generated from internal/config/table.go: go test ./internal/config -run TestDocs -update
#
# Only a database is needed. Durations are "30s", sizes "64MB"; "${NAME}" is the environment variable NAME.

[databases.shop]                     # clients connect to dbname=shop
primary = "host=127.0.0.1 port=5432 user=shop password=${SHOP_PASSWORD}"
# pool = { size = 40 }               # keys of [pool] that differ for this database

# [databases."*"]                    # any other name, passed through
# primary = "host=127.0.0.1 port=5432"
`

// example returns penstock.example.toml.
func example() string {
	var b strings.Builder
	b.WriteString(exampleHead)
	for _, s := range sections() {
		if s.global == nil {
			continue
		}
		fmt.Fprintf(&b, "\n%s\n", s.title())
		target := s.target()
		for _, r := range s.rows {
			line := r.name + " = " + literal(r.field(target))
			if r.later || r.name == "users" && s.name == "auth" {
				line = "# " + line
			}
			fmt.Fprintf(&b, "%-36s # %s\n", line, exampleNote(r))
		}
	}
	return b.String()
}

// exampleNote says the row's allowed words, or the first sentence of its text.
func exampleNote(r row) string {
	note, _, _ := strings.Cut(r.doc, ". ")
	note = strings.TrimSuffix(strings.ReplaceAll(note, "`", ""), ".")
	if len(r.values) > 1 {
		note += ": " + strings.Join(r.values, " | ")
	}
	return note + laterNote(r)
}

func laterNote(r row) string {
	if r.later {
		return " (later release)"
	}
	return ""
}
