package sqlscan

import (
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

const (
	longestName   = 63 // NAMEDATALEN - 1
	mostNames     = 4096
	mostOperators = 64
	nameSlots     = 256
)

// chain is the chain of identifiers that is being read.
type chain struct {
	schema, name string
	parts        int
	alias        bool // it stands where a call cannot begin
	field        bool // see Name
}

// names collects chains and operators, each but once where that is cheap.
type names struct {
	buf   []byte            // of the names that are not in the text as they are
	slots [nameSlots]uint16 // index+1 into the names of the statement
	small [2]uint64         // the operators of one byte that are there
	chain chain
}

func (n *names) reset() {
	n.buf = n.buf[:0]
	n.slots = [nameSlots]uint16{}
	n.small = [2]uint64{}
	n.chain = chain{}
}

// kept makes a string of what buf has from i on. The bytes stay as they are
// until reset.
func (n *names) kept(i int) string {
	b := n.buf[i:]
	if len(b) == 0 {
		return ""
	}
	return unsafe.String(&b[0], len(b))
}

// fold returns a word as PostgreSQL folds it: ASCII letters only.
// scansup.c, downcase_truncate_identifier.
func (n *names) fold(word string) string {
	from := len(n.buf)
	n.buf = append(n.buf, word...)
	for i, c := range n.buf[from:] {
		if c-'A' < 26 {
			n.buf[from+i] = c + 'a' - 'A'
		}
	}
	return n.kept(from)
}

// unquote returns what a quoted name says, cut; ok is false for an escape that
// PostgreSQL refuses.
func (n *names) unquote(l *lexer) (name string, ok bool) {
	from := l.start + 1
	if l.unicode {
		from = l.start + 3
	}
	name = l.text[from:l.nameEnd]
	if !l.doubled && (!l.unicode || strings.IndexByte(name, l.escape) < 0) {
		return cut(name), true
	}
	at := len(n.buf)
	for i := 0; i < len(name); {
		c := name[i]
		switch {
		case l.unicode && c == l.escape:
			r, size := unescape(name[i:], l.escape)
			if size == 0 {
				return "", false
			}
			n.buf = utf8.AppendRune(n.buf, r)
			l.foreign = l.foreign || r >= utf8.RuneSelf
			i += size
			continue
		case c == '"':
			i++
		}
		n.buf = append(n.buf, c)
		i++
	}
	return cut(n.kept(at)), true
}

// unescape reads \XXXX, \+XXXXXX or \\ with another escape perhaps; size is 0
// if it is wrong. parser.c, str_udeescape.
func unescape(s string, escape byte) (r rune, size int) {
	if len(s) > 1 && s[1] == escape {
		return rune(escape), 2
	}
	r, size = codePoint(s)
	if size == 0 || r == 0 || r > utf8.MaxRune {
		return 0, 0
	}
	if !utf16.IsSurrogate(r) {
		return r, size
	}
	if len(s) == size || s[size] != escape {
		return 0, 0
	}
	low, more := codePoint(s[size:])
	if r = utf16.DecodeRune(r, low); more == 0 || r == utf8.RuneError {
		return 0, 0
	}
	return r, size + more
}

// codePoint reads XXXX or +XXXXXX from behind an escape.
func codePoint(s string) (r rune, size int) {
	from, size := 1, 5
	if len(s) > 1 && s[1] == '+' {
		from, size = 2, 8
	}
	if len(s) < size {
		return 0, 0
	}
	for _, c := range []byte(s[from:size]) {
		switch {
		case !isHex(c):
			return 0, 0
		case isDigit(c):
			r = r<<4 | rune(c-'0')
		default:
			r = r<<4 | rune((c|0x20)-'a'+10)
		}
	}
	return r, size
}

// cut cuts a name to what PostgreSQL keeps, at a letter's border in UTF8.
func cut(name string) string {
	if len(name) <= longestName {
		return name
	}
	end := 0
	for end < len(name) {
		size := letterSize(name[end])
		if end+size > longestName {
			break
		}
		end += size
	}
	return name[:end]
}

// letterSize is pg_utf_mblen: by the first byte alone.
func letterSize(c byte) int {
	switch {
	case c&0xe0 == 0xc0:
		return 2
	case c&0xf0 == 0xe0:
		return 3
	case c&0xf8 == 0xf0:
		return 4
	}
	return 1
}

// addName notes a chain; false if there are too many.
func (st *Statement) addName(n *names, name Name) bool {
	slot := hashName(name)
	for range 4 {
		i := &n.slots[slot%nameSlots]
		if *i == 0 {
			if len(st.Names) >= mostNames {
				return false
			}
			st.Names = append(st.Names, name)
			*i = uint16(len(st.Names))
			return true
		}
		if st.Names[*i-1] == name {
			return true
		}
		slot++
	}
	if len(st.Names) >= mostNames {
		return false
	}
	st.Names = append(st.Names, name)
	return true
}

// hashName need not be good, only quick.
func hashName(name Name) uint32 {
	h := uint32(len(name.Name)) * 31
	if s := name.Name; s != "" {
		h += uint32(s[0])*7 + uint32(s[len(s)-1])*131 + uint32(s[len(s)/2])*17
	}
	if s := name.Schema; s != "" {
		h += uint32(s[0])*3 + uint32(s[len(s)-1])*61
	}
	return h
}

// addOperator notes an operator; false if there are too many.
func (st *Statement) addOperator(n *names, operator string) bool {
	if len(operator) == 1 {
		c := operator[0]
		if n.small[c>>6&1]&(1<<(c&63)) != 0 {
			return true
		}
		n.small[c>>6&1] |= 1 << (c & 63)
	} else {
		if operator == "!=" {
			operator = "<>"
		}
		if slices.Contains(st.Operators, operator) {
			return true
		}
	}
	if len(st.Operators) >= mostOperators {
		return false
	}
	st.Operators = append(st.Operators, operator)
	return true
}
