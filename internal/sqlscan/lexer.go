package sqlscan

// What a token is. Punctuation is its own byte.
type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenBad           // a byte of no token, or a token without its end
	tokenWord
	tokenQuoted // "name" or U&"name"
	tokenString // of any sort
	tokenNumber // with its minus, where that cannot be anything else
	tokenParam  // $1
	tokenOperator
	tokenCast   // ::
	tokenAssign // :=
	tokenRange  // ..
	tokenArrow  // =>
)

// classes maps a byte to its class. Those from 'a' on may stand in a word:
// a lower case letters, u upper case, h bytes above 127, d digits, m the dollar.
// 'O' may stand in an operator, 'X' in no token, and the others are themselves.
const classes = "" +
	"XXXXXXXXX     XX" + "XXXXXXXXXXXXXXXX" +
	" O\"OmOO'()OO,O.O" + "dddddddddd:;OOOO" +
	"Ouuuuuuuuuuuuuuu" + "uuuuuuuuuuu[X]Oa" +
	"Oaaaaaaaaaaaaaaa" + "aaaaaaaaaaaXOXOX" +
	"hhhhhhhhhhhhhhhh" + "hhhhhhhhhhhhhhhh" + "hhhhhhhhhhhhhhhh" + "hhhhhhhhhhhhhhhh" +
	"hhhhhhhhhhhhhhhh" + "hhhhhhhhhhhhhhhh" + "hhhhhhhhhhhhhhhh" + "hhhhhhhhhhhhhhhh"

// lexer cuts a text into tokens by the rules of PostgreSQL's scan.l.
type lexer struct {
	text    string
	options Options
	pos     int
	last    tokenKind // before the present one
	signs   int       // up to here there are only + and -, each a token

	// Of the present token.
	start, end int
	upper      bool // a word has upper case letters
	foreign    bool // a name has bytes above 127
	doubled    bool // a quoted name has "" in it
	unicode    bool // a name is U&""
	escape     byte // of a U&"" name
	nameEnd    int  // of a quoted name, before its closing quote
	obscure    bool // a string in parts, or with UESCAPE: its bytes do not tell what it says

	// From comments.
	hint    Hint
	noCache bool
}

// next reads a token; text[start:end] are its bytes.
func (l *lexer) next() tokenKind {
	l.skipSpace()
	l.start = l.pos
	if l.pos >= len(l.text) {
		l.end = l.pos
		return tokenEnd
	}
	kind := l.token()
	l.end = l.pos
	l.last = kind
	return kind
}

func (l *lexer) token() tokenKind {
	c := l.text[l.pos]
	switch class := classes[c]; class {
	case 'a', 'u', 'h':
		return l.wordOrPrefix(c)
	case 'd':
		return l.number()
	case 'm':
		return l.dollar()
	case 'O':
		return l.operator()
	case '\'':
		l.pos++
		return l.quotedString(l.options.NonStandardStrings, true)
	case '"':
		l.pos++
		return l.quotedName()
	case ':':
		return l.colon()
	case '.':
		switch {
		case l.digitAt(l.pos + 1):
			return l.number()
		case l.byteAt(l.pos+1) == '.':
			l.pos += 2
			return tokenRange
		}
		l.pos++
		return '.'
	case 'X':
		return tokenBad
	default:
		l.pos++
		return tokenKind(class)
	}
}

// byteAt is the byte at i, 0 behind the end.
func (l *lexer) byteAt(i int) byte {
	if i < len(l.text) {
		return l.text[i]
	}
	return 0
}

func (l *lexer) digitAt(i int) bool { return i < len(l.text) && isDigit(l.text[i]) }

func isDigit(c byte) bool { return c-'0' <= 9 }

// wordOrPrefix reads a word, or the literal or name that its one letter opens.
func (l *lexer) wordOrPrefix(c byte) tokenKind {
	if next := l.byteAt(l.pos + 1); next == '\'' || next == '&' {
		switch c | 0x20 {
		case 'e', 'b', 'x', 'n':
			if next == '\'' {
				l.pos += 2
				return l.quotedString(c|0x20 == 'e' || c|0x20 == 'n' && l.options.NonStandardStrings, c|0x20 != 'b' && c|0x20 != 'x')
			}
		case 'u':
			if next == '&' {
				switch l.byteAt(l.pos + 2) {
				case '\'':
					return l.unicodeString()
				case '"':
					l.pos += 3
					return l.unicodeName()
				}
			}
		}
	}
	l.upper, l.foreign = false, false
	i := l.pos
	for ; i < len(l.text); i++ {
		class := classes[l.text[i]]
		if class < 'a' {
			break
		}
		if class == 'u' {
			l.upper = true
		} else if class == 'h' {
			l.foreign = true
		}
	}
	l.pos = i
	return tokenWord
}

// operator reads as many operator bytes as belong together. scan.l: no operator
// has a comment in it, and one of several bytes ends in + or - only if it has
// one of a few others.
func (l *lexer) operator() tokenKind {
	from, special := l.pos, false
	i := from
	if from < l.signs {
		l.pos++
		return l.sign(from)
	}
	for ; i < len(l.text); i++ {
		c := l.text[i]
		if classes[c] != 'O' {
			break
		}
		if next := l.byteAt(i + 1); c == '/' && next == '*' || c == '-' && next == '-' {
			break
		}
		switch c {
		case '~', '!', '@', '#', '^', '&', '|', '`', '?', '%':
			special = true
		}
	}
	l.signs = i
	for !special && i > from+1 && (l.text[i-1] == '+' || l.text[i-1] == '-') {
		i--
	}
	if i == from { // a comment without an end
		return tokenBad
	}
	l.pos = i
	if l.text[from:i] == "=>" {
		return tokenArrow
	}
	return l.sign(from)
}

// sign reads on where the operator from there to pos is the sign of a number.
func (l *lexer) sign(from int) tokenKind {
	i := l.pos
	if i == from+1 && l.text[from] == '-' && l.signed() && (l.digitAt(i) || l.byteAt(i) == '.' && l.digitAt(i+1)) {
		return l.number()
	}
	return tokenOperator
}

// signed says whether a minus here is the sign of the number behind it.
func (l *lexer) signed() bool {
	switch l.last {
	case '(', ',', '[', tokenOperator:
		return true
	default:
		return false
	}
}

func (l *lexer) colon() tokenKind {
	l.pos++
	switch l.byteAt(l.pos) {
	case ':':
		l.pos++
		return tokenCast
	case '=':
		l.pos++
		return tokenAssign
	}
	return ':'
}

// number reads a number, and never a letter too many: old servers read 1into
// as two tokens.
func (l *lexer) number() tokenKind {
	if l.text[l.pos] == '0' && l.radix() {
		return tokenNumber
	}
	l.digits()
	if l.byteAt(l.pos) == '.' && l.byteAt(l.pos+1) != '.' { // 1..10 is a range
		l.pos++
		l.digits()
	}
	if l.byteAt(l.pos)|0x20 == 'e' {
		i := l.pos + 1
		if c := l.byteAt(i); c == '+' || c == '-' {
			i++
		}
		if l.digitAt(i) {
			l.pos = i
			l.digits()
		}
	}
	return tokenNumber
}

// digits steps over digits with single underscores between them.
func (l *lexer) digits() {
	for l.digitAt(l.pos) || l.byteAt(l.pos) == '_' && l.digitAt(l.pos+1) && l.digitAt(l.pos-1) {
		l.pos++
	}
}

// radix reads 0x1F, 0o17 or 0b1. PostgreSQL 16 reads them first.
func (l *lexer) radix() bool {
	base := l.byteAt(l.pos+1) | 0x20
	i := l.pos + 2
	for i < len(l.text) {
		c := l.text[i]
		if c == '_' && i+1 < len(l.text) {
			c = l.text[i+1]
		}
		if !inRadix(base, c) {
			break
		}
		if l.text[i] == '_' {
			i++
		}
		i++
	}
	if i == l.pos+2 {
		return false
	}
	l.pos = i
	return true
}

func inRadix(base, c byte) bool {
	switch base {
	case 'x':
		return isHex(c)
	case 'o':
		return c-'0' < 8
	case 'b':
		return c-'0' < 2
	}
	return false
}

func isHex(c byte) bool { return isDigit(c) || (c|0x20)-'a' < 6 }

// dollar reads a parameter or a string in dollar quotes.
func (l *lexer) dollar() tokenKind {
	i := l.pos + 1
	if l.digitAt(i) {
		for l.digitAt(i) {
			i++
		}
		l.pos = i
		return tokenParam
	}
	for i < len(l.text) && classes[l.text[i]] >= 'a' && l.text[i] != '$' {
		i++
	}
	if l.byteAt(i) != '$' {
		return tokenBad
	}
	return l.dollarString(i + 1)
}
