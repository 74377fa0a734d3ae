package sqlscan

import "strconv"

// Normalized appends the text of the last Scan to dst, without constants and
// layout: each constant becomes $n, counted on from the highest parameter as
// pg_stat_statements does, comments and white space become one space, empty
// statements vanish. NULL, TRUE, FALSE and DEFAULT stay. Of a text that was not
// understood there is as much as was read.
func (s *Scanner) Normalized(dst []byte) []byte {
	from := len(dst)
	n := s.statement.MaxParam
	l := lexer{text: s.lexer.text, options: s.lexer.options}
	if len(l.text) > longestText {
		return dst
	}
	semicolon, end := false, 0
	for range mostTokens {
		kind := l.next()
		if kind == tokenEnd || kind == tokenBad {
			break
		}
		if kind == ';' {
			semicolon = true
			continue
		}
		spaced := l.start > end
		end = l.end
		if semicolon && len(dst) > from {
			dst = append(dst, ';')
			spaced = true
		}
		semicolon = false
		first := l.text[l.start]
		switch kind {
		case tokenString, tokenNumber:
			n++
			first = '$'
		case tokenQuoted:
			first = '"'
		default:
		}
		if len(dst) > from && (spaced || joins(dst[len(dst)-1], first)) {
			dst = append(dst, ' ')
		}
		switch {
		case first == '$' && kind != tokenParam:
			dst = strconv.AppendInt(append(dst, '$'), int64(n), 10)
		case kind == tokenQuoted && l.unicode:
			dst = s.appendQuoted(dst, &l)
		default:
			dst = append(dst, l.text[l.start:l.end]...)
		}
	}
	return dst
}

// joins says whether two bytes might become part of one token: of a word, of a
// name, or of the U& of one.
func joins(a, b byte) bool {
	return classes[a] >= 'a' && classes[b] >= 'a' || (a == '"' || a == '&') && b == '"'
}

// appendQuoted appends a name that was written U&"" as a plain quoted one.
func (s *Scanner) appendQuoted(dst []byte, l *lexer) []byte {
	name, ok := s.names.unquote(l)
	if !ok {
		return append(dst, l.text[l.start:l.end]...)
	}
	dst = append(dst, '"')
	for _, c := range []byte(name) {
		if c == '"' {
			dst = append(dst, c)
		}
		dst = append(dst, c)
	}
	return append(dst, '"')
}
