package sqlscan

import "strings"

// hintWord opens the comments that speak to us.
const hintWord = "penstock:"

// skipSpace steps over white space and comments. A comment without an end
// takes the rest of the text and is left standing for tokenBad to be found.
func (l *lexer) skipSpace() {
	for l.pos < len(l.text) {
		c := l.text[l.pos]
		switch {
		case classes[c] >= 'a':
			return
		case classes[c] == ' ':
			l.pos++
		case c == '-' && l.byteAt(l.pos+1) == '-':
			i := strings.IndexAny(l.text[l.pos:], "\r\n")
			if i < 0 {
				l.pos = len(l.text)
				return
			}
			l.pos += i
		case c == '/' && l.byteAt(l.pos+1) == '*':
			if !l.comment() {
				return
			}
		default:
			return
		}
	}
}

// comment steps over a comment, which may hold others.
func (l *lexer) comment() bool {
	depth := 1
	for i := l.pos + 2; i+1 < len(l.text); i++ {
		switch {
		case l.text[i] == '/' && l.text[i+1] == '*':
			depth++
			i++
		case l.text[i] == '*' && l.text[i+1] == '/':
			depth--
			i++
			if depth == 0 {
				l.takeHint(l.text[l.pos+2 : i-1])
				l.pos = i + 1
				return true
			}
		}
	}
	return false
}

// takeHint reads what a comment asks for.
func (l *lexer) takeHint(comment string) {
	comment = strings.TrimLeft(comment, " \t\r\n")
	if len(comment) < len(hintWord) || !strings.EqualFold(comment[:len(hintWord)], hintWord) {
		return
	}
	for word := range strings.FieldsFuncSeq(comment[len(hintWord):], func(c rune) bool {
		return c == ',' || c == ' ' || c == '\t' || c == '\r' || c == '\n'
	}) {
		switch {
		case strings.EqualFold(word, "primary"):
			l.hint = HintPrimary
		case strings.EqualFold(word, "replica"):
			l.hint = max(l.hint, HintReplica)
		case strings.EqualFold(word, "nocache"):
			l.noCache = true
		}
	}
}
