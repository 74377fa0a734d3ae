package admin

import (
	"strings"

	"github.com/penstock/penstock/internal/pgerr"
)

// tokenKind is what a token is.
type tokenKind int

const (
	word       tokenKind = iota // letters, digits, underscores; also numbers
	quotedName                  // "in double quotes"
	quotedText                  // 'in single quotes'
	symbol                      // one character, or ::
	verbatim                    // the rest of the query string; only behind EXPLAIN ROUTE
)

// token is one token of a statement. Text is without its quotes.
type token struct {
	kind       tokenKind
	text       string
	start, end int // where it stood in the query string
}

// is reports whether t is this keyword, which is in lower case, or symbol.
// A name in double quotes is no keyword.
func (t token) is(keyword string) bool {
	return (t.kind == word && strings.EqualFold(t.text, keyword)) || (t.kind == symbol && t.text == keyword)
}

// name is t as the name of a table or parameter: in lower case unless quoted.
func (t token) name() string {
	if t.kind == quotedName {
		return t.text
	}
	return strings.ToLower(t.text)
}

// scanner cuts a query string into tokens.
type scanner struct {
	sql string
	pos int
}

// split cuts a query string into the tokens of its statements, leaving out
// comments and statements of nothing. What stands behind EXPLAIN ROUTE is SQL
// that only the router can read, so it is one token to the end of the string.
func split(sql string) ([][]token, error) {
	s := scanner{sql: sql}
	var statements [][]token
	var current []token
	for {
		t, ok, err := s.next()
		if err != nil {
			return nil, err
		}
		if ok && !t.is(";") {
			current = append(current, t)
			if explainsRoute(current) {
				rest, err := s.explained()
				if err != nil {
					return nil, err
				}
				current = append(current, rest...)
			}
			continue
		}
		if len(current) > 0 {
			statements = append(statements, current)
			current = nil
		}
		if !ok {
			return statements, nil
		}
	}
}

// explainsRoute reports whether tokens are the words EXPLAIN ROUTE and no more.
func explainsRoute(tokens []token) bool {
	return len(tokens) == 2 && tokens[0].kind <= quotedName && strings.EqualFold(tokens[0].text, "explain") &&
		tokens[1].is("route")
}

// explained reads what stands behind EXPLAIN ROUTE: ON with a database, if it is
// there, and the text with its comments, which may be hints. No SQL begins with
// ON.
func (s *scanner) explained() ([]token, error) {
	var tokens []token
	start := s.pos
	if on, ok, err := s.next(); err == nil && ok && on.is("on") {
		database, ok, err := s.next()
		if err != nil || !ok {
			return []token{on}, err
		}
		tokens = []token{on, database}
		start = s.pos
	}
	s.pos = len(s.sql)
	const space = " \t\n\r\f\v"
	rest := s.sql[start:]
	text := strings.Trim(rest, space)
	if strings.Trim(text, space+";") == "" {
		return tokens, nil
	}
	start += strings.Index(rest, text)
	return append(tokens, token{kind: verbatim, text: text, start: start, end: start + len(text)}), nil
}

// next returns the next token, or false at the end.
func (s *scanner) next() (token, bool, error) {
	if err := s.skipSpace(); err != nil {
		return token{}, false, err
	}
	if s.pos == len(s.sql) {
		return token{}, false, nil
	}
	start := s.pos
	t := token{start: start}
	switch c := s.sql[start]; {
	case isWord(c):
		for s.pos < len(s.sql) && isWord(s.sql[s.pos]) {
			s.pos++
		}
		t.kind, t.text = word, s.sql[start:s.pos]
	case c == '"' || c == '\'':
		text, ok := s.quoted(c)
		if !ok {
			return token{}, false, pgerr.Syntax(s.sql[start:])
		}
		t.kind, t.text = quotedText, text
		if c == '"' {
			t.kind = quotedName
		}
	default:
		s.pos++
		if strings.HasPrefix(s.sql[start:], "::") {
			s.pos++
		}
		t.kind, t.text = symbol, s.sql[start:s.pos]
	}
	t.end = s.pos
	return t, true, nil
}

// skipSpace moves past white space and comments. Manual, 4.1.5: block comments
// nest.
func (s *scanner) skipSpace() error {
	for s.pos < len(s.sql) {
		rest := s.sql[s.pos:]
		switch {
		case strings.IndexByte(" \t\n\r\f\v", rest[0]) >= 0:
			s.pos++
		case strings.HasPrefix(rest, "--"):
			end := strings.IndexAny(rest, "\n\r")
			if end < 0 {
				end = len(rest)
			}
			s.pos += end
		case strings.HasPrefix(rest, "/*"):
			if !s.blockComment() {
				return pgerr.Syntax(rest)
			}
		default:
			return nil
		}
	}
	return nil
}

func (s *scanner) blockComment() bool {
	depth := 0
	for s.pos < len(s.sql) {
		rest := s.sql[s.pos:]
		switch {
		case strings.HasPrefix(rest, "/*"):
			depth++
			s.pos += 2
		case strings.HasPrefix(rest, "*/"):
			depth--
			s.pos += 2
			if depth == 0 {
				return true
			}
		default:
			s.pos++
		}
	}
	return false
}

// quoted reads a text in quotes, where two quotes stand for one. Backslashes
// mean themselves: standard_conforming_strings is on.
func (s *scanner) quoted(quote byte) (string, bool) {
	var b strings.Builder
	for i := s.pos + 1; i < len(s.sql); i++ {
		switch {
		case s.sql[i] != quote:
			b.WriteByte(s.sql[i])
		case i+1 < len(s.sql) && s.sql[i+1] == quote:
			b.WriteByte(quote)
			i++
		default:
			s.pos = i + 1
			return b.String(), true
		}
	}
	return "", false
}

func isWord(c byte) bool {
	return c == '_' || c >= 0x80 || ('0' <= c && c <= '9') || ('a' <= c && c <= 'z') || ('A' <= c && c <= 'Z')
}
