package sqlscan

import "strings"

// quotedString reads a string from behind its opening quote, with the parts
// that continue it on later lines. Where quotes are not doubled, as in B” and
// X”, two quotes end one string and begin another.
func (l *lexer) quotedString(backslash, doubling bool) tokenKind {
	l.obscure = false
	for i := l.pos; ; {
		end := l.quote(i, backslash)
		if end < 0 {
			return tokenBad
		}
		i = end + 1
		if doubling && l.byteAt(i) == '\'' {
			i++
			continue
		}
		l.pos = i
		if i = l.continuation(i); i < 0 {
			return tokenString
		}
		l.obscure = true
	}
}

// quote finds the next quote that no backslash takes away; -1 if there is none.
func (l *lexer) quote(i int, backslash bool) int {
	if !backslash {
		if end := strings.IndexByte(l.text[i:], '\''); end >= 0 {
			return i + end
		}
		return -1
	}
	for ; i < len(l.text); i++ {
		switch l.text[i] {
		case '\'':
			return i
		case '\\':
			i++
		}
	}
	return -1
}

// continuation returns where a string goes on that was ended before i: behind
// the quote that follows space with a line break in it; -1 if it does not.
// scan.l, quotecontinue. PostgreSQL 17 refuses a comment in between; a text
// that it refuses may be read in any way.
func (l *lexer) continuation(i int) int {
	newline := false
	for i < len(l.text) {
		switch c := l.text[i]; {
		case c == '\n' || c == '\r':
			newline = true
			i++
		case classes[c] == ' ':
			i++
		case c == '-' && l.byteAt(i+1) == '-':
			// A comment that the end of the text cuts short has no quote behind it.
			j := strings.IndexAny(l.text[i:], "\r\n")
			if j < 0 {
				return -1
			}
			i += j
		case c == '\'' && newline:
			return i + 1
		default:
			return -1
		}
	}
	return -1
}

// unicodeString reads U&'...' with its UESCAPE. scan.l refuses it where a
// backslash escapes in every string.
func (l *lexer) unicodeString() tokenKind {
	if l.options.NonStandardStrings {
		return tokenBad
	}
	l.pos += 3
	if l.quotedString(false, true) == tokenBad || !l.uescape() {
		return tokenBad
	}
	l.obscure = true
	return tokenString
}

// dollarString reads a string in dollar quotes; its text begins at from.
func (l *lexer) dollarString(from int) tokenKind {
	quote := l.text[l.pos:from]
	end := strings.Index(l.text[from:], quote)
	if end < 0 {
		return tokenBad
	}
	l.pos = from + end + len(quote)
	l.obscure = false
	return tokenString
}

// quotedName reads an identifier from behind its opening quote.
func (l *lexer) quotedName() tokenKind {
	l.foreign, l.doubled, l.unicode, l.escape = false, false, false, '\\'
	for i := l.pos; i < len(l.text); i++ {
		switch c := l.text[i]; {
		case c >= 0x80:
			l.foreign = true
		case c != '"':
		case l.byteAt(i+1) == '"':
			l.doubled = true
			i++
		default:
			l.pos, l.nameEnd = i+1, i
			return tokenQuoted
		}
	}
	return tokenBad
}

// unicodeName reads U&"..." with its UESCAPE.
func (l *lexer) unicodeName() tokenKind {
	if l.quotedName() == tokenBad {
		return tokenBad
	}
	l.unicode = true
	if !l.uescape() {
		return tokenBad
	}
	return tokenQuoted
}

// uescape reads UESCAPE 'c' if it stands here, and sets escape. It returns
// false for one that PostgreSQL would not take either, or seldom would.
func (l *lexer) uescape() bool {
	l.escape = '\\'
	back := l.pos
	l.skipSpace()
	from := l.pos
	for l.pos < len(l.text) && classes[l.text[l.pos]] >= 'a' {
		l.pos++
	}
	if !strings.EqualFold(l.text[from:l.pos], "uescape") {
		l.pos = back
		return true
	}
	l.skipSpace()
	if l.byteAt(l.pos) != '\'' || l.byteAt(l.pos+2) != '\'' || l.byteAt(l.pos+3) == '\'' {
		return false
	}
	c := l.text[l.pos+1]
	if isHex(c) || c == '+' || c == '\'' || c == '"' || classes[c] == ' ' || c >= 0x80 || c == '\\' && l.options.NonStandardStrings {
		return false
	}
	l.escape = c
	l.pos += 4 - 1
	return l.continuation(l.pos) < 0
}

// mayBeTime says whether PostgreSQL may read a string as a time that depends
// on the clock: now, today, tomorrow, yesterday, in any case, alone or in an
// array, a range, a row or JSON, where quotes and backslashes may be dropped.
func mayBeTime(s string) bool {
	if len(s) < len("now") {
		return false
	}
	if strings.IndexByte(s, '\\') >= 0 {
		return true
	}
	quotes := strings.IndexByte(s, '"') >= 0
	for i := 0; i+2 < len(s); i++ {
		c := s[i] | 0x20
		if c != 'n' && c != 't' && c != 'y' || !quotes && i > 0 && isLetter(s[i-1]) {
			continue
		}
		for _, word := range [...]string{"now", "today", "tomorrow", "yesterday"} {
			if word[0] == c && spelled(s[i:], word, quotes) {
				return true
			}
		}
	}
	return false
}

func isLetter(c byte) bool { return (c|0x20)-'a' < 26 }

// spelled says whether s begins with word, in any case, with quotes anywhere
// between its letters or else with no letter behind it.
func spelled(s, word string, quotes bool) bool {
	n := 0
	for i := 0; i < len(s); i++ {
		switch {
		case quotes && s[i] == '"':
		case n == len(word):
			return quotes || !isLetter(s[i])
		case s[i]|0x20 != word[n]:
			return false
		default:
			n++
		}
	}
	return n == len(word)
}
