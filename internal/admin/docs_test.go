package admin

import (
	"flag"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/console.md")

const docsFile = "../../docs/console.md"

func TestTheDocumentationIsTheTables(t *testing.T) {
	t.Parallel()
	want := documentation()
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Error("docs/console.md is not what the tables say; run: go test ./internal/admin -run Documentation -update")
	}
}

func documentation() string {
	var b strings.Builder
	b.WriteString(docsIntroduction)
	b.WriteString("\n## Commands\n\nOnly administrators may run these.\n\n| command | what it does |\n|---|---|\n")
	for _, c := range commands() {
		if c.access == adminsOnly {
			row(&b, code(c.usage()), c.about)
		}
	}
	b.WriteString("\n## What everyone may run\n\nDrivers and tools send most of these unasked. A transaction means nothing here: " +
		"a command acts at once, and ROLLBACK does not undo it.\n\n| statement | what it does |\n|---|---|\n")
	for _, c := range commands() {
		if c.access == everyone {
			row(&b, code(c.usage()), c.about)
		}
	}
	b.WriteString("\nFunctions of `SELECT`: ")
	b.WriteString(functionNames())
	b.WriteString(".\n\n## Parameters\n\n`SHOW` and `SET` of these, and `SET` of any name with a dot in it, satisfy drivers. " +
		"The values do not change.\n\n| parameter | value |\n|---|---|\n")
	for _, p := range parameters() {
		row(&b, code(p.name), strings.TrimSuffix(code(p.value), "``"))
	}
	b.WriteString(docsOfRoute)
	for _, c := range routeColumns() {
		row(&b, c.Name, c.Type.String())
	}
	b.WriteString("\n## Tables\n")
	for _, t := range tables() {
		fmt.Fprintf(&b, "\n### SHOW %s\n\n%s%s.\n\n| column | type |\n|---|---|\n", strings.ToUpper(t.name),
			strings.ToUpper(t.about[:1]), t.about[1:])
		for _, c := range t.columns {
			row(&b, c.Name, c.Type.String())
		}
		if t.access == adminsOnly {
			b.WriteString("\nOnly administrators may see this table.\n")
		}
	}
	return b.String()
}

const docsIntroduction = `# The console

<!-- Written by: go test ./internal/admin -run Documentation -update -->

Connect to the database ` + "`penstock`" + ` (or ` + "`pgbouncer`" + `) and send SQL over the simple or the
extended protocol, in text or binary format:

    psql -h 127.0.0.1 -p 6432 -U admin penstock -c 'SHOW POOLS'

Users in ` + "`admin.users`" + ` are administrators; the console's other users may only look. Statements take no parameters.
Several statements in one simple query are understood all together or not at all, and run up to the first error.
A waiting command ends when the client cancels it. Unknown words are 42601, unknown names 42704, what only administrators
may do 42501, what the console cannot do 0A000. The columns down to SHOW VERSION are those of PgBouncer 1.25.2, in its order
and with its types, and stay that way; timestamps are text, such as 2026-11-22 12:00:00 UTC.
`

const docsOfRoute = `
## EXPLAIN ROUTE

    EXPLAIN ROUTE ON shop SELECT * FROM orders WHERE id = 7

The decision is that for a fresh session: outside a transaction, with no settings of its own and no rule that asks for a user
or an application. Which of the candidates gets a read is a matter of the moment and of chance; if none may have it, it goes to
the primary. A candidate's score is the expected time of one more statement over its share, in microseconds. ON may be left
out if only one database is routed. Hazard is what speaks against a replica although it is one, or was wished to be; name is
what the reason is about.

The text is taken as it stands, comments and hints too, and goes to the end of the query string: semicolons do not end it, so
nothing can follow it in the same string (psql sends each statement alone). It may have 64 kB and ` + "`$1`" + ` in it.

| column | type |
|---|---|
`

func row(b *strings.Builder, left, right string) {
	escape := strings.NewReplacer("|", `\|`)
	fmt.Fprintf(b, "| %s | %s |\n", escape.Replace(left), escape.Replace(right))
}

func code(s string) string { return "`" + s + "`" }

func functionNames() string {
	var names []string
	for _, f := range functions() {
		names = append(names, code(f.name))
	}
	sort.Strings(names)
	return strings.Join(names, ", ")
}
