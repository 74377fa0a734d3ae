package sqlscan

import (
	"bytes"
	"strings"
)

// Kind says what a statement may leave behind on its server connection.
type Kind uint8

// The kinds of effects.
const (
	// Unknown: nothing is known from the text; the command tag decides.
	Unknown Kind = iota
	// SetLocal ends with the transaction: SET LOCAL, SET TRANSACTION, SET CONSTRAINTS.
	SetLocal
	// Set changes the one setting named, for the session.
	Set
	// Reset returns the one setting named to its default.
	Reset
	// ResetAll is RESET ALL.
	ResetAll
	// Deallocate drops the one prepared statement named.
	Deallocate
	// DeallocateAll is DEALLOCATE ALL.
	DeallocateAll
	// DiscardAll is DISCARD ALL.
	DiscardAll
	// Declare is a cursor that ends with the transaction.
	Declare
	// DeclareHold is a cursor WITH HOLD.
	DeclareHold
	// Commit ends a transaction for good: COMMIT, END.
	Commit
	// Temporary creates a temporary object.
	Temporary
)

// Effect is what a statement may leave behind.
type Effect struct {
	Kind Kind
	Name string // of the setting or statement, folded as PostgreSQL folds it
}

// EffectOf looks at the first words of a text. A text of several statements is
// Unknown. Name points into text unless it had to be folded.
func EffectOf(text string) Effect {
	text = skipSpace(text)
	if len(text) < 3 {
		return Effect{}
	}
	if i := strings.IndexByte(text, ';'); i >= 0 && skipSpace(text[i+1:]) != "" || intoSomething(text) {
		return effectOfAny(text)
	}
	if !worthALook(text) {
		return Effect{}
	}
	word, rest := cutWord(text)
	switch {
	case strings.EqualFold(word, "set"):
		return effectOfSet(single(rest))
	case strings.EqualFold(word, "reset"):
		return effectOfReset(single(rest))
	case strings.EqualFold(word, "deallocate"):
		return effectOfDeallocate(single(rest))
	case strings.EqualFold(word, "discard"):
		if word, _ := cutWord(single(rest)); strings.EqualFold(word, "all") {
			return Effect{Kind: DiscardAll}
		}
	case strings.EqualFold(word, "declare"):
		return effectOfDeclare(single(rest))
	case strings.EqualFold(word, "commit"), strings.EqualFold(word, "end"):
		return Effect{Kind: Commit}
	case strings.EqualFold(word, "create"):
		return effectOfCreate(rest)
	}
	return Effect{}
}

// intoSomething says whether a text may be a SELECT INTO.
func intoSomething(text string) bool {
	if c := text[0] | 0x20; c != 's' && c != 'w' {
		return false
	}
	return strings.Contains(text, "INTO") || strings.Contains(text, "into") || strings.Contains(text, "Into")
}

// effectOfAny looks for the one effect that no command tag gives away in a
// text of which more than the first words count. It may see one where there is
// none, in a literal for example: that costs, but breaks nothing.
func effectOfAny(text string) Effect {
	for word, rest := cutToken(text); rest != "" || word != ""; word, rest = cutToken(rest) {
		if strings.EqualFold(word, "temp") || strings.EqualFold(word, "temporary") || inTempSchema(word) {
			return Effect{Kind: Temporary}
		}
	}
	return Effect{}
}

// MentionsTemporary says whether a part of a long text may create something
// temporary.
func MentionsTemporary(part []byte) bool {
	return bytes.Contains(part, []byte("temp")) || bytes.Contains(part, []byte("TEMP")) || bytes.Contains(part, []byte("Temp"))
}

// inTempSchema says whether a name begins with the schema of temporary objects.
func inTempSchema(word string) bool {
	return len(word) >= len("pg_temp") && strings.EqualFold(word[:len("pg_temp")], "pg_temp")
}

// worthALook says by three letters whether one of our words may begin here.
// Nearly every text is done with after it.
func worthALook(text string) bool {
	switch [3]byte{text[0] | 0x20, text[1] | 0x20, text[2] | 0x20} {
	case [3]byte{'s', 'e', 't'}, [3]byte{'r', 'e', 's'}, [3]byte{'d', 'e', 'a'}, [3]byte{'d', 'i', 's'},
		[3]byte{'d', 'e', 'c'}, [3]byte{'c', 'r', 'e'}, [3]byte{'c', 'o', 'm'}, [3]byte{'e', 'n', 'd'}:
		return true
	}
	return false
}

func effectOfSet(rest string) Effect {
	word, after := cutWord(rest)
	if strings.EqualFold(word, "session") {
		word, after = cutWord(after)
		if strings.EqualFold(word, "characteristics") || strings.EqualFold(word, "authorization") {
			return Effect{}
		}
	}
	switch {
	case strings.EqualFold(word, "local"), strings.EqualFold(word, "transaction"), strings.EqualFold(word, "constraints"):
		return Effect{Kind: SetLocal}
	case strings.EqualFold(word, "time"):
		if zone, after := cutWord(after); strings.EqualFold(zone, "zone") {
			return Effect{Kind: setOrReset(after), Name: "timezone"}
		}
		return Effect{}
	case strings.EqualFold(word, "names"):
		return Effect{Kind: Set, Name: "client_encoding"}
	case strings.EqualFold(word, "role"), strings.EqualFold(word, "session_authorization"),
		strings.EqualFold(word, "xml"), strings.EqualFold(word, "seed"), strings.EqualFold(word, "schema"),
		strings.EqualFold(word, "catalog"):
		return Effect{}
	}
	next := skipSpace(after)
	if word == "" || next == "" {
		return Effect{}
	}
	to, value := cutWord(next)
	if next[0] == '=' {
		value = next[1:]
	} else if !strings.EqualFold(to, "to") {
		return Effect{}
	}
	return Effect{Kind: setOrReset(value), Name: lower(word)}
}

// setOrReset tells SET TO DEFAULT, which is a RESET, from a SET.
func setOrReset(value string) Kind {
	if word, _ := cutWord(value); strings.EqualFold(word, "default") {
		return Reset
	}
	return Set
}

func effectOfReset(rest string) Effect {
	word, after := cutWord(rest)
	switch {
	case strings.EqualFold(word, "all"):
		return Effect{Kind: ResetAll}
	case strings.EqualFold(word, "time"):
		return Effect{Kind: Reset, Name: "timezone"}
	case word == "", strings.EqualFold(word, "role"), strings.EqualFold(word, "session"),
		strings.EqualFold(word, "session_authorization"), skipSpace(after) != "":
		return Effect{}
	}
	return Effect{Kind: Reset, Name: lower(word)}
}

func effectOfDeallocate(rest string) Effect {
	word, after := cutWord(rest)
	if next := skipSpace(after); strings.EqualFold(word, "prepare") && next != "" {
		rest = next
		word, after = cutWord(rest)
	}
	switch {
	case strings.EqualFold(word, "all"):
		return Effect{Kind: DeallocateAll}
	case word != "" && skipSpace(after) == "":
		return Effect{Kind: Deallocate, Name: lower(word)}
	}
	if name, after, ok := cutQuoted(skipSpace(rest)); ok && skipSpace(after) == "" {
		return Effect{Kind: Deallocate, Name: name}
	}
	return Effect{}
}

// effectOfDeclare: the options stand before FOR, WITH HOLD among them.
func effectOfDeclare(rest string) Effect {
	if rest == "" {
		return Effect{}
	}
	for word, after := cutToken(rest); after != ""; word, after = cutToken(after) {
		switch {
		case strings.EqualFold(word, "hold"):
			return Effect{Kind: DeclareHold} // WITHOUT HOLD too: asking costs little
		case strings.EqualFold(word, "for"):
			return Effect{Kind: Declare}
		}
	}
	return Effect{}
}

func effectOfCreate(rest string) Effect {
	for word, after := cutToken(rest); after != ""; word, after = cutToken(after) {
		if inTempSchema(word) {
			return Effect{Kind: Temporary}
		}
	}
	for range 4 { // OR REPLACE LOCAL TEMPORARY
		var word string
		word, rest = cutWord(rest)
		switch {
		case strings.EqualFold(word, "temp"), strings.EqualFold(word, "temporary"):
			return Effect{Kind: Temporary}
		case strings.EqualFold(word, "or"), strings.EqualFold(word, "replace"),
			strings.EqualFold(word, "local"), strings.EqualFold(word, "global"):
		default:
			return Effect{}
		}
	}
	return Effect{}
}

// lower folds a name as PostgreSQL does in multi-byte encodings: ASCII letters
// only (scansup.c, downcase_identifier). It returns name where nothing is folded.
func lower(name string) string {
	for i := range len(name) {
		if c := name[i]; c >= 'A' && c <= 'Z' {
			b := []byte(name)
			for ; i < len(b); i++ {
				if b[i] >= 'A' && b[i] <= 'Z' {
					b[i] += 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return name
}

// single returns text without a closing semicolon, and "" where it may hold
// more than one statement.
func single(text string) string {
	before, after, ok := strings.Cut(text, ";")
	if !ok {
		return text
	}
	if skipSpace(after) != "" {
		return ""
	}
	return before
}

// skipSpace drops leading white space and comments. Manual, Lexical Structure.
func skipSpace(s string) string {
	for s != "" {
		switch {
		case s[0] == ' ' || s[0] >= '\t' && s[0] <= '\r':
			s = s[1:]
		case strings.HasPrefix(s, "--"):
			i := strings.IndexAny(s, "\r\n")
			if i < 0 {
				return ""
			}
			s = s[i:]
		case strings.HasPrefix(s, "/*"):
			s = skipComment(s)
		default:
			return s
		}
	}
	return s
}

// skipComment drops a comment, which may hold others; "" if it has no end.
func skipComment(s string) string {
	depth := 0
	for i := 0; i+1 < len(s); i++ {
		switch s[i : i+2] {
		case "/*":
			depth++
			i++
		case "*/":
			depth--
			i++
			if depth == 0 {
				return s[i+1:]
			}
		}
	}
	return ""
}

// cutWord cuts an unquoted word, with dots, from the front of s; "" if another
// thing stands there.
func cutWord(s string) (word, rest string) {
	s = skipSpace(s)
	i := 0
	for i < len(s) && isWordByte(s[i]) {
		i++
	}
	return s[:i], s[i:]
}

func isWordByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' || c == '_' || c == '$' || c == '.' || c >= 0x80
}

// cutToken is cutWord that steps over quoted names and single other bytes.
func cutToken(s string) (word, rest string) {
	s = skipSpace(s)
	if s == "" {
		return "", ""
	}
	if name, rest, ok := cutQuoted(s); ok {
		return name[:0], rest
	}
	if word, rest = cutWord(s); word != "" {
		return word, rest
	}
	return "", s[1:]
}

// cutQuoted cuts a quoted identifier.
func cutQuoted(s string) (name, rest string, ok bool) {
	if s == "" || s[0] != '"' {
		return "", s, false
	}
	for i := 1; i < len(s); i++ {
		if s[i] != '"' {
			continue
		}
		if i+1 < len(s) && s[i+1] == '"' {
			i++
			continue
		}
		return strings.ReplaceAll(s[1:i], `""`, `"`), s[i+1:], true
	}
	return "", s, false
}
