package proxy

import (
	"strings"
	"unicode/utf8"
)

// A BEGIN in a simple query is answered at once where reads are routed, and
// goes to a server in front of the first statement that needs one: only that
// statement tells where the transaction belongs, and a transaction without one
// costs no server connection. Only texts that PostgreSQL accepts for sure are
// answered so (manual, BEGIN and START TRANSACTION).

// beginning is a BEGIN that is understood to the last word.
type beginning struct {
	readOnly     bool
	readWrite    bool
	serializable bool
	isolated     bool // at a level with one snapshot for all statements
}

// parseBegin reads the text of a simple query. It returns false for whatever
// is not a plain BEGIN or START TRANSACTION.
func parseBegin(text string) (b beginning, ok bool) {
	if len(text) > 120 || !beginsWith(text, "bBsS") { // the longest has less
		return b, false
	}
	words := words(strings.ReplaceAll(text, ",", " , "))
	switch {
	case len(words) >= 2 && words[0] == "START" && words[1] == "TRANSACTION":
		words = words[2:]
	case len(words) >= 1 && words[0] == "BEGIN":
		words = words[1:]
		if len(words) > 0 && (words[0] == "WORK" || words[0] == "TRANSACTION") {
			words = words[1:]
		}
	default:
		return b, false
	}
	for first := true; len(words) > 0; first = false {
		if words[0] == "," && !first {
			words = words[1:]
		}
		n := b.mode(words)
		if n == 0 {
			return b, false
		}
		words = words[n:]
	}
	return b, true
}

// beginsWith says whether the first letter of a text is one of those, so that
// most texts cost no more than that.
func beginsWith(text, letters string) bool {
	text = strings.TrimLeft(text, " \t\n\r\f")
	return text != "" && strings.IndexByte(letters, text[0]) >= 0
}

// words are the words of a statement in capitals, without semicolons behind
// them. Space is what every version's scan.l takes for it.
func words(text string) []string {
	if strings.ContainsFunc(text, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return nil // PostgreSQL folds ASCII only
	}
	space := func(r rune) bool { return strings.ContainsRune(" \t\n\r\f", r) }
	text = strings.TrimRightFunc(text, func(r rune) bool { return r == ';' || space(r) })
	return strings.FieldsFunc(strings.ToUpper(text), space)
}

// mode reads one transaction mode and returns its number of words, 0 for none.
func (b *beginning) mode(words []string) int {
	switch text := strings.Join(words[:min(len(words), 4)], " ") + " "; {
	case strings.HasPrefix(text, "READ ONLY "):
		b.readOnly = true
		return 2
	case strings.HasPrefix(text, "READ WRITE "):
		b.readWrite = true
		return 2
	case strings.HasPrefix(text, "DEFERRABLE "):
		return 1
	case strings.HasPrefix(text, "NOT DEFERRABLE "):
		return 2
	case strings.HasPrefix(text, "ISOLATION LEVEL SERIALIZABLE "):
		b.serializable, b.isolated = true, true
		return 3
	case strings.HasPrefix(text, "ISOLATION LEVEL REPEATABLE READ "):
		b.isolated = true
		return 4
	case strings.HasPrefix(text, "ISOLATION LEVEL READ COMMITTED "),
		strings.HasPrefix(text, "ISOLATION LEVEL READ UNCOMMITTED "):
		return 4
	}
	return 0
}

// parseEnd reads the text of a simple query that ends a transaction, and
// returns the tag that PostgreSQL answers it with, "" for anything else.
func parseEnd(text string) string {
	if len(text) > 40 || !beginsWith(text, "cCeErRaA") {
		return ""
	}
	switch strings.Join(words(text), " ") {
	case "COMMIT", "COMMIT WORK", "COMMIT TRANSACTION", "END", "END WORK", "END TRANSACTION":
		return "COMMIT"
	case "ROLLBACK", "ROLLBACK WORK", "ROLLBACK TRANSACTION", "ABORT", "ABORT WORK", "ABORT TRANSACTION":
		return "ROLLBACK"
	}
	return ""
}
