package sqlscan

import "strings"

// What is read of one text. A text beyond is NotUnderstood.
const (
	longestText = 1 << 20
	mostTokens  = 1 << 16
)

// Scanner reads one text at a time and keeps its memory for the next. Its zero
// value is ready. It is not for concurrent use.
type Scanner struct {
	statement Statement
	lexer     lexer
	names     names
	print     fingerprint
	prev      symbol // the token before
	depth     int    // of parentheses
	sources   uint64 // by depth: the parenthesis there may be one that an alias follows
	open      bool   // a statement that is not empty has begun
	present   present
}

// Scan says what text is. The result and all strings in it are valid until the
// next Scan; names may point into text.
func (s *Scanner) Scan(text string, o Options) *Statement {
	s.reset(text, o)
	if len(text) > longestText || o.UnsafeEncoding && !isASCII(text) {
		s.refuse()
		return &s.statement
	}
	for range mostTokens {
		switch kind := s.lexer.next(); kind {
		case tokenEnd:
			s.finish()
			return &s.statement
		case tokenBad:
			s.refuse()
			s.finish()
			return &s.statement
		default:
			s.take(kind)
		}
	}
	if s.lexer.next() != tokenEnd {
		s.refuse()
	}
	s.finish()
	return &s.statement
}

func (s *Scanner) reset(text string, o Options) {
	s.statement = Statement{Names: s.statement.Names[:0], Operators: s.statement.Operators[:0]}
	s.lexer = lexer{text: text, options: o}
	s.names.reset()
	s.print = fingerprint{hash: hashSeed}
	s.present = present{}
	s.prev, s.depth, s.sources, s.open = symNone, 0, 0, false
}

// refuse marks a text that is not understood. What is known of it stays.
func (s *Scanner) refuse() {
	s.statement.Features |= FeatureNotUnderstood
	s.statement.Kinds |= KindOther
}

func (s *Scanner) finish() {
	st := &s.statement
	s.endStatement()
	st.Fingerprint = s.print.hash
	st.Hint = s.lexer.hint
	if s.lexer.noCache {
		st.Features |= FeatureNoCache
	}
	if st.Count == 0 {
		st.Kinds |= KindEmpty
	}
	if st.Count > 1 {
		st.Features |= FeatureMulti
	}
}

// endStatement closes the statement that a semicolon or the end of the text ends.
func (s *Scanner) endStatement() {
	if !s.open {
		return
	}
	s.open = false
	s.endChain(';')
	s.statement.Kinds |= s.present.end(&s.statement)
	s.present = present{}
	if s.depth > 0 {
		s.refuse()
	}
	s.print.list = listNone
	s.prev = ';'
}

// take reads one token: what it is, its share of the fingerprint, the names,
// and what it makes of the statement, in this order.
func (s *Scanner) take(kind tokenKind) {
	if kind == ';' && s.depth == 0 && s.present.atomic == 0 {
		s.endStatement()
		return
	}
	if !s.open {
		s.open = true
		if s.statement.Count++; s.statement.Count > 1 {
			s.print.add(';')
		}
	}
	sym, text := s.read(kind)
	s.count(sym, text)
	if s.present.phase != phaseNone {
		s.present.step(sym, text, s.prev, s.depth)
	}
	if s.present.pending != 0 {
		s.resolve(sym)
	}
	if sym >= symWord && sym != reserved {
		s.word(sym)
	}
	s.prev = sym
}

// read tells the symbol and, where it counts, the text of a token, and notes
// what it says about names, constants and operators.
func (s *Scanner) read(kind tokenKind) (sym symbol, text string) {
	l, st := &s.lexer, &s.statement
	switch kind {
	case tokenWord:
		return s.identifier()
	case tokenQuoted:
		name, ok := s.names.unquote(l)
		if !ok {
			s.refuse()
		}
		if l.foreign {
			st.Features |= FeatureForeignName
		}
		s.link(name)
		return symQuoted, name
	case tokenString:
		st.Features |= FeatureLiterals
		if !st.Features.Has(FeatureTimeLiterals) && (l.obscure || mayBeTime(l.text[l.start:l.end])) {
			st.Features |= FeatureTimeLiterals
		}
		if s.present.kinds.Has(KindSet|KindSetLocal) && strings.EqualFold(strings.Trim(l.text[l.start:l.end], "'"), "serializable") {
			st.Features |= FeatureSerializable
		}
		sym = symLiteral
	case tokenNumber:
		st.Features |= FeatureLiterals
		if l.text[l.start] == '-' {
			s.operator("-")
		}
		sym = symLiteral
	case tokenParam:
		st.Features |= FeatureParameters
		st.MaxParam = max(st.MaxParam, paramNumber(l.text[l.start+1:l.end]))
		sym = symParam
	case tokenOperator:
		text = l.text[l.start:l.end]
		s.operator(text)
		sym = symOperator
	case tokenCast, tokenAssign, tokenRange, tokenArrow:
		sym, text = symOther, l.text[l.start:l.end]
	default:
		sym = symbol(kind)
	}
	if sym != '.' {
		s.endChain(sym)
	}
	return sym, text
}

// identifier reads a word.
func (s *Scanner) identifier() (symbol, string) {
	l := &s.lexer
	text := l.text[l.start:l.end]
	kept := len(s.names.buf)
	if l.upper {
		text = s.names.fold(text)
	}
	if l.foreign {
		s.statement.Features |= FeatureForeignName
	}
	sym := symName
	if s.prev != '.' {
		if sym = wordOf(text); sym >= reserved {
			s.endChain(sym)
			s.names.buf = s.names.buf[:kept] // no name; text is needed no longer than its token
			return sym, text
		}
	}
	text = cut(text)
	s.link(text)
	return sym, text
}

// link adds an identifier to the chain, or begins another.
func (s *Scanner) link(name string) {
	c := &s.names.chain
	dot := s.prev == '.'
	if dot && c.parts > 0 && !c.field {
		c.schema, c.name = c.name, name
		c.parts++
		return
	}
	s.endChain(symName)
	c.schema, c.name, c.parts, c.alias, c.field = "", name, 1, s.aliasBegins(), dot
}

// aliasBegins says whether a name that begins here and is followed by a
// parenthesis names the columns of something, or is a type: AS x (a, b),
// CAST(a AS x (1)), WITH x (a, b), FROM (...) x (a, b), FROM f(...) x (a, b).
func (s *Scanner) aliasBegins() bool {
	switch s.prev {
	case wordAs, wordWith:
		return true
	case ')':
		return s.depth < 64 && s.sources>>s.depth&1 != 0
	case symName:
		return s.names.chain.name == "recursive" || s.names.chain.name == "ordinality" // behind WITH
	case ',':
		return s.present.phase == phaseWith && s.depth == s.present.base && !s.present.searched && !s.present.opened
	default:
		return false
	}
}

// isSource says whether the parenthesis that opens behind prev may be that of a
// subquery or a call in FROM, which an alias may follow. Not so those of
// DISTINCT ON (...) and OPERATOR(...), which a call may follow.
func (s *Scanner) isSource() bool {
	switch s.prev {
	case wordFrom, wordLateral, symQuoted, ',', '(':
		return true
	case symName:
		return s.names.chain.name != "operator"
	default:
		return false
	}
}

// endChain notes the chain that another token ends.
func (s *Scanner) endChain(by symbol) {
	c := &s.names.chain
	if c.parts == 0 {
		return
	}
	if strings.HasPrefix(c.name, "pg_temp") || strings.HasPrefix(c.schema, "pg_temp") {
		s.statement.Features |= FeatureTemporary
	}
	s.name(Name{Schema: c.schema, Name: c.name, Parts: c.parts, Call: by == '(' && (!c.alias || c.parts > 1), Field: c.field})
	c.parts = 0
}

func (s *Scanner) name(name Name) {
	if !s.statement.addName(&s.names, name) {
		s.refuse()
	}
}

func (s *Scanner) operator(operator string) {
	if !s.statement.addOperator(&s.names, operator) {
		s.refuse()
	}
}

// count folds a token into the fingerprint and keeps the depth of parentheses.
func (s *Scanner) count(sym symbol, text string) {
	if sym == ';' && s.prev == ';' {
		return
	}
	if sym == symParam {
		sym = symLiteral
	}
	if s.print.list != listNone || sym == '(' || sym == '[' {
		s.print.before(sym, s.prev, s.depth)
	}
	switch {
	case text == "":
		s.print.add(sym)
	case sym >= symWord:
		s.print.addText(symName, text)
	default:
		s.print.addText(sym, text)
	}
	switch sym {
	case '(':
		if s.depth < 64 {
			s.sources &^= 1 << s.depth
			if s.isSource() {
				s.sources |= 1 << s.depth
			}
		}
		s.depth++
	case ')':
		if s.depth == 0 {
			s.refuse()
			return
		}
		s.depth--
	default:
	}
	if s.print.list != listNone {
		s.print.after(sym, s.depth)
	}
}

// paramNumber reads the n of $n; more digits than PostgreSQL takes make no
// greater number.
func paramNumber(digits string) int {
	n := 0
	for _, c := range []byte(digits) {
		n = min(n*10+int(c-'0'), 1<<16)
	}
	return n
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
