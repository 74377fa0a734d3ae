package catalog

import (
	"strings"

	"github.com/penstock/penstock/internal/sqlscan"
)

// readTexts scans all SQL that the catalog has once, and keeps of each text the
// names that can matter.
func (b *builder) readTexts() {
	matter := map[string]bool{}
	for i := range b.rows.Functions {
		matter[b.rows.Functions[i].Name] = true
	}
	for i := range b.rows.Types {
		matter[b.rows.Types[i].Name] = true
	}
	for i := range b.rows.Relations {
		matter[b.rows.Relations[i].Name] = true
	}
	r := &reader{matter: matter}
	for i := range b.rows.Functions {
		f := &b.rows.Functions[i]
		if f.OID >= firstUserOID && f.Text != "" && f.Volatile != 'v' {
			r.parameters = f.Language == "sql"
			t := r.read(f.Text)
			r.parameters = false
			if f.Language == "plpgsql" && mentions(f.Text, "execute") {
				t.opaque = true // runs a text that nobody knows before
			}
			b.bodies[f.OID] = t
		}
	}
	for i := range b.rows.Relations {
		if v := &b.rows.Relations[i]; v.Kind == 'v' && v.OID >= firstUserOID {
			b.views[v.OID] = r.read(v.Text)
		}
	}
	for _, e := range b.rows.Expression {
		t := r.read(e.Text)
		if e.Type != 0 {
			b.checks[e.Type] = append(b.checks[e.Type], t)
		} else {
			b.extra[e.Relation] = append(b.extra[e.Relation], t)
		}
	}
}

// reader scans texts of the catalog.
type reader struct {
	scanner    sqlscan.Scanner
	matter     map[string]bool
	parameters bool // a.b may be a function of a parameter a of any type
}

// read scans one text. The server printed it, or keeps it as it was given; in
// either case standard_conforming_strings is taken to be on, and a text with a
// backslash is scanned with it off too.
func (r *reader) read(source string) text {
	var t text
	if source == "" {
		t.opaque = true // the server would not tell
		return t
	}
	r.add(&t, source, sqlscan.Options{})
	if strings.Contains(source, `\`) {
		r.add(&t, source, sqlscan.Options{NonStandardStrings: true})
	}
	return t
}

func (r *reader) add(t *text, source string, options sqlscan.Options) {
	st := r.scanner.Scan(source, options)
	if st.Features.Has(sqlscan.FeatureNotUnderstood) {
		t.opaque = true
	}
	seen := map[sqlscan.Name]bool{}
	for _, n := range st.Names {
		key := sqlscan.Name{Schema: n.Schema, Name: n.Name, Call: n.Call, Field: n.Field || r.parameters && n.Parts > 1}
		if n.Schema != "information_schema" {
			key.Schema = ""
			if !r.matter[n.Name] {
				continue
			}
		}
		if seen[key] {
			continue
		}
		key.Name = strings.Clone(key.Name)
		key.Schema = strings.Clone(key.Schema)
		seen[key] = true
		t.names = append(t.names, key)
	}
	for _, operator := range st.Operators {
		t.operators = append(t.operators, strings.Clone(operator))
	}
}

// reach returns the worst that a text reaches, with whatever is unsafe in it
// called as: a view over an unsafe function is an unsafe view. Names that no
// object has are passed over: the text was accepted by the server, and a new
// object makes a new snapshot.
func (b *builder) reach(t text, as Reason) Reason {
	worst := Safe
	if t.opaque {
		return as
	}
	for i := range t.names {
		reason, _ := b.snapshot.judge(&t.names[i])
		if reason != Unknown {
			worst = max(worst, reason)
		}
	}
	for _, operator := range t.operators {
		if reason := b.snapshot.operator(operator); reason != Unknown {
			worst = max(worst, reason)
		}
	}
	switch worst {
	case UnsafeFunction, UnsafeOperator, UnsafeType, RowSecurity, View:
		return as
	default:
		return worst
	}
}

// mentions says whether a word is somewhere in a text, in any case.
func mentions(source, word string) bool {
	return strings.Contains(strings.ToLower(source), word)
}
