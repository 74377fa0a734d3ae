package config

// This file is what the external tests see of the inside.

// Markdown returns docs/config.md.
func Markdown() string { return markdown() }

// SampleFile returns penstock.example.toml.
func SampleFile() string { return example() }

// EditDistance counts the edits between a and b.
func EditDistance(a, b string) int { return editDistance(a, b) }

// Nearest returns the likely candidate.
func Nearest(word string, candidates []string) string { return nearest(word, candidates) }

// LineOf returns the line that the index of text has for a path written as in
// a Problem, 0 if it has none.
func LineOf(text, key string) int { return indexLines(text)[key] }

// KeyIn writes a path from its steps: strings are keys, ints are indexes.
func KeyIn(steps ...any) string {
	var p path
	for _, s := range steps {
		switch s := s.(type) {
		case string:
			p = p.key(s)
		case int:
			p = p.item(s)
		}
	}
	return p.String()
}

// Fields returns, for each section of the table, its target and the pointers to
// the fields its rows are about.
func Fields() map[any][]any {
	all := map[any][]any{}
	for _, s := range sections() {
		target := s.target()
		for _, r := range s.rows {
			all[target] = append(all[target], r.field(target))
		}
	}
	return all
}

// RowDocs returns the text of each row by section and name.
func RowDocs() map[string]string {
	all := map[string]string{}
	for _, s := range sections() {
		for _, r := range s.rows {
			all[s.title()+" "+r.name] = r.doc
		}
	}
	return all
}

// ParseDSN returns a connection string as Penstock would write it.
func ParseDSN(text string, env func(string) string) (string, []error) {
	d, errs := parseDSN(text, env)
	return d.String(), errs
}
