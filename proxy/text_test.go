package proxy

import (
	"encoding/binary"
	"slices"
	"strings"
	"testing"
)

func TestOptionsAreReadAsPostgreSQLReadsThem(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                               ``,
		"  \t ":                          ``,
		"-c geqo=off":                    `geqo=off`,
		"-cgeqo=off":                     `geqo=off`,
		"--geqo=off":                     `geqo=off`,
		"--statement-timeout=1s":         `statement_timeout=1s`,
		"-c statement-timeout=1-s":       `statement_timeout=1-s`,
		"-c a=1 -c b=2 --c=3":            `a=1|b=2|c=3`,
		"-c a=":                          `a=`,
		"-c a=b=c":                       `a=b=c`,
		`-c search_path=a,\ b`:           `search_path=a, b`,
		`-c a=\\`:                        `a=\`,
		`-c a=b\`:                        `a=b`,
		"-c\ta=1\n-c\vb=2\f-c\rc=3":      `a=1|b=2|c=3`,
		"-c search_path=app -c role=bob": `search_path=app|role=bob`,
	} {
		got, err := parseOptions(in)
		var list []string
		for _, p := range got {
			list = append(list, p.Name+"="+p.Value)
		}
		if joined := strings.Join(list, "|"); err != nil || joined != want {
			t.Errorf("%q: got %s, %v; want %s", in, joined, err, want)
		}
	}
}

func TestOptionsThatPostgreSQLRefusesAreRefused(t *testing.T) {
	t.Parallel()
	for _, in := range []string{"x", "-", "-c", "-c a", "--", "--a", "-ca", "-z", "-c a=1 b", `\`} {
		if got, err := parseOptions(in); err == nil {
			t.Errorf("%q: got %v, want an error", in, got)
		}
	}
}

// pgSplit is pg_split_opts of postinit.c, word for word.
func pgSplit(text string) []string {
	var words []string
	isspace := func(c byte) bool { return c == ' ' || c >= '\t' && c <= '\r' }
	p := text
	for p != "" {
		escaped := false
		for p != "" && isspace(p[0]) {
			p = p[1:]
		}
		if p == "" {
			break
		}
		var s []byte
		for p != "" {
			if isspace(p[0]) && !escaped {
				break
			}
			if !escaped && p[0] == '\\' {
				escaped = true
			} else {
				escaped = false
				s = append(s, p[0])
			}
			p = p[1:]
		}
		words = append(words, string(s))
	}
	return words
}

func FuzzOptions(f *testing.F) {
	f.Add(`-c search_path=a,\ b --x=y`)
	f.Add(`\\ \  \`)
	f.Add("-fs -tpa -S 100 -e")
	f.Add("-d")
	f.Fuzz(func(t *testing.T, in string) {
		if got, want := splitOptions(in), pgSplit(in); !slices.Equal(got, want) {
			t.Fatalf("%q: got %q, want %q", in, got, want)
		}
		params, err := parseOptions(in)
		if err == nil && len(params) > len(in) {
			t.Fatalf("%q: %d parameters", in, len(params))
		}
	})
}

func TestNamesAndLiteralsAreQuoted(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{"": `""`, "a": `"a"`, "A b": `"A b"`, `a"b`: `"a""b"`, "my.x": `"my"."x"`, `a"."b`: `"a"""."""b"`} {
		if got := quoteName(in); got != want {
			t.Errorf("name %q: got %s, want %s", in, got, want)
		}
	}
	for in, want := range map[string]string{
		"": "''", "a": "'a'", "it's": "'it''s'", `a\b`: ` E'a\\b'`, `\'`: ` E'\\'''`, `"x"`: `'"x"'`, "ä": "'ä'",
	} {
		if got := quoteLiteral(in); got != want {
			t.Errorf("literal %q: got %s, want %s", in, got, want)
		}
	}
}

// unquote reads a literal as PostgreSQL's scanner does, with either value of
// standard_conforming_strings; ok is false where the literal ends too soon.
func unquote(q string, standard bool) (value string, ok bool) {
	q = strings.TrimPrefix(q, " ")
	escapes := !standard
	if strings.HasPrefix(q, "E") {
		escapes, q = true, q[1:]
	}
	if q == "" || q[0] != '\'' {
		return "", false
	}
	var b strings.Builder
	for i := 1; i < len(q); i++ {
		switch {
		case q[i] == '\'' && i+1 < len(q) && q[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case q[i] == '\'':
			return b.String(), i == len(q)-1
		case q[i] == '\\' && escapes:
			i++
			if i == len(q) {
				return "", false
			}
			b.WriteByte(q[i])
		default:
			b.WriteByte(q[i])
		}
	}
	return "", false
}

func FuzzQuoteLiteral(f *testing.F) {
	f.Add(`it's a \ test`)
	f.Add(`\'; DROP TABLE t --`)
	f.Fuzz(func(t *testing.T, in string) {
		for _, standard := range []bool{true, false} {
			if got, ok := unquote(quoteLiteral(in), standard); !ok || got != in {
				t.Fatalf("%q is quoted %s, which reads %q, %t", in, quoteLiteral(in), got, ok)
			}
		}
	})
}

func TestDSNNamesFindsKeywordsOutsideQuotes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		dsn, keyword string
		want         bool
	}{
		{"host=x user=a", "user", true},
		{"user=a", "user", true},
		{"user = a", "user", true},
		{"host=x\n\tuser=a", "user", true},
		{"host=x", "user", false},
		{"passfile=user", "user", false},
		{"sslcert_user=x", "user", false},
		{"password='a user=b'", "user", false},
		{`password='a\' user=b'`, "user", false},
		{"password='x' user=b", "user", true},
		{"password='' dbname=b", "dbname", true},
		{"", "user", false},
	} {
		if got := dsnNames(c.dsn, c.keyword); got != c.want {
			t.Errorf("%q names %s: %t", c.dsn, c.keyword, got)
		}
	}
}

func TestErrorFieldsTrustNoLayout(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body string
		want fields
	}{
		"as PostgreSQL sends it":        {"SFEHLER\x00VERROR\x00C42601\x00Mtext\x00Ddetail\x00\x00", fields{"ERROR", "42601", "text"}},
		"the translated one comes last": {"VFATAL\x00SFATAL_\x00C57P01\x00Mx\x00\x00", fields{"FATAL", "57P01", "x"}},
		"only the translated severity":  {"SERROR\x00C1\x00\x00", fields{"ERROR", "1", ""}},
		"nothing":                       {"", fields{}},
		"only the end":                  {"\x00", fields{}},
		"a field without an end":        {"SERROR\x00Mtext", fields{severity: "ERROR"}},
		"a field without a text":        {"M\x00\x00", fields{}},
		"only a letter":                 {"M", fields{}},
	} {
		if got := errorFields([]byte(c.body)); got != c.want {
			t.Errorf("%s: got %+v, want %+v", name, got, c.want)
		}
	}
}

// row is the body of a DataRow of these columns; "NULL" is NULL.
func row(columns ...string) []byte {
	p := binary.BigEndian.AppendUint16(nil, uint16(len(columns)))
	for _, c := range columns {
		if c == "NULL" {
			p = binary.BigEndian.AppendUint32(p, 0xffffffff)
			continue
		}
		p = append(binary.BigEndian.AppendUint32(p, uint32(len(c))), c...)
	}
	return p
}

func TestColumnsOfARow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		body  []byte
		all   []string
		first string
		ok    bool
	}{
		"two":                   {row("a", "bc"), []string{"a", "bc"}, "a", true},
		"empty and NULL":        {row("", "NULL", "x"), []string{"", "", "x"}, "", true},
		"NULL first":            {row("NULL"), []string{""}, "", false},
		"none":                  {row(), nil, "", false},
		"nothing":               {nil, nil, "", false},
		"half a count":          {[]byte{0}, nil, "", false},
		"a count without bytes": {[]byte{0xff, 0xff}, nil, "", false},
		"a column cut off":      {row("abc")[:7], nil, "", false},
		"a length cut off":      {row("abc")[:4], nil, "", false},
		"a length too large":    {[]byte{0, 1, 0x7f, 0xff, 0xff, 0xff, 'x'}, nil, "", false},
		"the second cut off":    {row("a", "bc")[:10], []string{"a"}, "a", true},
	} {
		if got := columns(c.body); !slices.Equal(got, c.all) {
			t.Errorf("%s: columns %q, want %q", name, got, c.all)
		}
		if got, ok := firstColumn(c.body); got != c.first || ok != c.ok {
			t.Errorf("%s: first %q, %t, want %q, %t", name, got, ok, c.first, c.ok)
		}
	}
}

// FuzzServerBodies reads what a server may send in the bodies of messages:
// never beyond them, and both ways of reading a row agree.
func FuzzServerBodies(f *testing.F) {
	f.Add(row("a", "NULL", ""))
	f.Add([]byte("SERROR\x00C42601\x00Mtext\x00\x00"))
	f.Add([]byte{0xff, 0xff, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, body []byte) {
		body = slices.Clip(body)
		all := columns(body)
		total := 0
		for _, c := range all {
			total += len(c)
		}
		if total > len(body) || 4*len(all) > len(body) {
			t.Fatalf("%q has columns %q", body, all)
		}
		if first, ok := firstColumn(body); ok && len(all) > 0 && first != all[0] {
			t.Fatalf("%q: first %q, columns %q", body, first, all)
		}
		if e := errorFields(body); len(e.severity)+len(e.code)+len(e.message) > len(body) {
			t.Fatalf("%q: %+v", body, e)
		}
		_ = serverError(body)
	})
}
