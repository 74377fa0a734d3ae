package config

import (
	"strconv"
	"strings"
)

// lineIndex knows on which line each key and array element of a TOML text
// stands. The TOML library tells positions only of syntax errors.
type lineIndex map[string]int

// line returns the line of p or, if p is not in the text, of the nearest table
// around it; 0 if there is none.
func (x lineIndex) line(p path) int {
	for ; len(p) > 0; p = p[:len(p)-1] {
		if n, ok := x[p.String()]; ok {
			return n
		}
	}
	return 0
}

// indexLines scans text, which the TOML library has accepted. On any other text
// the index is incomplete, no more.
func indexLines(text string) lineIndex {
	s := &lineScanner{text: strings.TrimPrefix(text, "\ufeff"), line: 1, index: lineIndex{}, tables: map[string]int{}}
	var table path
	for s.skipBlank(); s.pos < len(s.text); s.skipBlank() {
		before := s.pos
		if s.peek() == '[' {
			table = s.header()
		} else {
			s.keyValue(table)
		}
		if s.pos == before {
			s.pos++ // Not TOML; go on behind it.
		}
	}
	return s.index
}

type lineScanner struct {
	text  string
	pos   int
	line  int
	index lineIndex

	// tables counts the elements of each array of tables.
	tables map[string]int
}

func (s *lineScanner) peek() byte {
	if s.pos < len(s.text) {
		return s.text[s.pos]
	}
	return 0
}

// accept steps over prefix if it is next.
func (s *lineScanner) accept(prefix string) bool {
	if !strings.HasPrefix(s.text[s.pos:], prefix) {
		return false
	}
	s.pos += len(prefix)
	return true
}

func (s *lineScanner) skipSpace() {
	for s.peek() == ' ' || s.peek() == '\t' {
		s.pos++
	}
}

// skipBlank steps over space, line ends and comments.
func (s *lineScanner) skipBlank() {
	for {
		switch s.peek() {
		case ' ', '\t', '\r':
			s.pos++
		case '\n':
			s.pos++
			s.line++
		case '#':
			for s.pos < len(s.text) && s.peek() != '\n' {
				s.pos++
			}
		default:
			return
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table it opens.
func (s *lineScanner) header() path {
	line := s.line
	s.accept("[")
	array := s.accept("[")
	keys := s.keys()
	s.accept("]")
	if array {
		s.accept("]")
	}
	var p path
	for i, k := range keys {
		p = p.key(k)
		name, last := p.String(), i == len(keys)-1
		s.record(p, line, last && !array)
		if array && last {
			s.tables[name]++
		}
		if n := s.tables[name]; n > 0 {
			p = p.item(n - 1)
			s.record(p, line, last)
		}
	}
	return p
}

// keyValue reads a.b = value inside table.
func (s *lineScanner) keyValue(table path) {
	line := s.line
	p := table
	keys := s.keys()
	for i, k := range keys {
		p = p.key(k)
		s.record(p, line, i == len(keys)-1)
	}
	s.skipSpace()
	if len(keys) > 0 && s.accept("=") {
		s.skipSpace()
		s.value(p)
	}
}

// record notes the line of p. A table that is only a part of another's name
// keeps its first line until it gets a line of its own.
func (s *lineScanner) record(p path, line int, own bool) {
	name := p.String()
	if _, known := s.index[name]; own || !known {
		s.index[name] = line
	}
}

// keys reads a dotted key.
func (s *lineScanner) keys() []string {
	var keys []string
	for {
		s.skipSpace()
		k, ok := s.oneKey()
		if !ok {
			return keys
		}
		keys = append(keys, k)
		s.skipSpace()
		if !s.accept(".") {
			return keys
		}
	}
}

func (s *lineScanner) oneKey() (string, bool) {
	start := s.pos
	switch s.peek() {
	case '"':
		s.quoted(`"`)
		text := s.text[start:s.pos]
		if key, err := strconv.Unquote(text); err == nil {
			return key, true
		}
		return text, true
	case '\'':
		s.quoted("'")
		return strings.Trim(s.text[start:s.pos], "'"), true
	}
	for s.pos < len(s.text) && !strings.ContainsRune(" \t\r\n.=[]{},\"'#", rune(s.text[s.pos])) {
		s.pos++
	}
	return s.text[start:s.pos], s.pos > start
}

// quoted steps over a string that starts and ends with mark.
func (s *lineScanner) quoted(mark string) {
	s.accept(mark)
	for s.pos < len(s.text) && !s.accept(mark) {
		switch {
		case s.peek() == '\\' && mark[0] == '"' && s.pos+1 < len(s.text):
			s.pos++
			if s.peek() == '\n' {
				s.line++
			}
		case s.peek() == '\n':
			s.line++
		}
		s.pos++
	}
	// Up to two quotes may stand before the closing three.
	for len(mark) == 3 && s.peek() == mark[0] {
		s.pos++
	}
}

// value steps over a value and records what is inside arrays and inline tables.
func (s *lineScanner) value(p path) {
	switch {
	case s.peek() == '"' || s.peek() == '\'':
		mark := s.text[s.pos : s.pos+1]
		if triple := strings.Repeat(mark, 3); strings.HasPrefix(s.text[s.pos:], triple) {
			mark = triple
		}
		s.quoted(mark)
	case s.accept("["):
		s.array(p)
	case s.accept("{"):
		s.inlineTable(p)
	default:
		for s.pos < len(s.text) && !strings.ContainsRune(",]}\n#", rune(s.text[s.pos])) {
			s.pos++
		}
	}
}

func (s *lineScanner) array(p path) {
	for i := 0; ; i++ {
		s.skipBlank()
		if s.pos >= len(s.text) || s.accept("]") {
			return
		}
		before := s.pos
		s.record(p.item(i), s.line, true)
		s.value(p.item(i))
		s.skipBlank()
		if !s.accept(",") && s.pos == before {
			return
		}
	}
}

func (s *lineScanner) inlineTable(p path) {
	for {
		s.skipBlank()
		if s.pos >= len(s.text) || s.accept("}") {
			return
		}
		before := s.pos
		s.keyValue(p)
		s.skipBlank()
		if !s.accept(",") && s.pos == before {
			return
		}
	}
}
