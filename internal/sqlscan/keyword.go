package sqlscan

// symbol is what the grammar sees in a token: a byte of punctuation or one of these.
type symbol uint8

const (
	symNone     symbol = 0
	symName     symbol = 'a' // a word that may be a name and no more
	symQuoted   symbol = 'q'
	symLiteral  symbol = '0'
	symParam    symbol = '$'
	symOperator symbol = '+'
	symOther    symbol = '?'

	// symWord and all behind it are words with a meaning.
	symWord symbol = 0x80
)

// The words with a meaning that may be names all the same.
const (
	wordInsert symbol = iota + symWord
	wordUpdate
	wordDelete
	wordMerge
	wordValues
	wordShare
	wordKey
	wordNo
	wordTemp
	wordTableSample
	wordCurrentSchema
	wordSearchOrCycle
	wordRead
	wordWrite
	wordSerializable
	wordBegin
	wordAtomic
	wordRoutine // FUNCTION, PROCEDURE
	wordBetween
	wordLike
	wordILike
	wordSimilar
	wordNullIf
	wordNatural
	wordOverlay
	wordPosition
	wordTrim
	wordExtract
	wordCollation
	wordAt
	wordNormalized
	wordSystemUser

	// From here on: words that are never names unless a dot or AS stands before them:
	// RESERVED_KEYWORD in kwlist.h.
	reserved
	wordSelect
	wordTable
	wordWith
	wordInto
	wordFor
	wordFrom
	wordTo
	wordAs
	wordIn
	wordNot
	wordArray
	wordConstant // NULL, TRUE, FALSE, DEFAULT
	wordCurrentTime
	wordSessionUser
	wordOrder
	wordLimit
	wordFetch
	wordEnd
	wordCase
	wordOnly
	wordAnalyze
	wordUsing
	wordDistinct
	wordAny // ANY, SOME, ALL
	wordLateral
)

// wordOf returns the symbol of a folded word. The words that PostgreSQL
// reserves are those of its version 18; another version may reserve fewer, but
// none of its reserved words that is missing here.
func wordOf(word string) symbol {
	switch word {
	case "select":
		return wordSelect
	case "from":
		return wordFrom
	case "as":
		return wordAs
	case "in":
		return wordIn
	case "not":
		return wordNot
	case "null", "true", "false", "default":
		return wordConstant
	case "order":
		return wordOrder
	case "limit", "offset":
		return wordLimit
	case "fetch":
		return wordFetch
	case "values":
		return wordValues
	case "insert":
		return wordInsert
	case "update":
		return wordUpdate
	case "delete":
		return wordDelete
	case "merge":
		return wordMerge
	case "with":
		return wordWith
	case "into":
		return wordInto
	case "for":
		return wordFor
	case "table":
		return wordTable
	case "to":
		return wordTo
	case "array":
		return wordArray
	case "only":
		return wordOnly
	case "case":
		return wordCase
	case "end":
		return wordEnd
	case "using":
		return wordUsing
	case "distinct":
		return wordDistinct
	case "any", "some", "all":
		return wordAny
	case "analyze", "analyse":
		return wordAnalyze
	case "current_date", "current_time", "current_timestamp", "localtime", "localtimestamp":
		return wordCurrentTime
	case "current_user", "session_user", "user", "current_role", "current_catalog":
		return wordSessionUser
	case "lateral":
		return wordLateral
	case "and", "asc", "asymmetric", "both", "cast", "check", "collate", "column", "constraint",
		"create", "deferrable", "desc", "do", "else", "except", "foreign", "grant", "group", "having",
		"initially", "intersect", "leading", "on", "or", "placing", "primary", "references",
		"returning", "symmetric", "then", "trailing", "union", "unique", "variadic", "when", "where", "window":
		return reserved
	}
	return unreserved(word)
}

// unreserved is wordOf for the words that may be names.
func unreserved(word string) symbol {
	switch word {
	case "share":
		return wordShare
	case "key":
		return wordKey
	case "no":
		return wordNo
	case "temp", "temporary":
		return wordTemp
	case "tablesample":
		return wordTableSample
	case "current_schema":
		return wordCurrentSchema
	case "system_user":
		return wordSystemUser
	case "search", "cycle":
		return wordSearchOrCycle
	case "read":
		return wordRead
	case "write":
		return wordWrite
	case "serializable":
		return wordSerializable
	case "begin":
		return wordBegin
	case "atomic":
		return wordAtomic
	case "function", "procedure":
		return wordRoutine
	case "between":
		return wordBetween
	case "like":
		return wordLike
	case "ilike":
		return wordILike
	case "similar":
		return wordSimilar
	case "nullif":
		return wordNullIf
	case "natural":
		return wordNatural
	case "overlay":
		return wordOverlay
	case "position":
		return wordPosition
	case "trim":
		return wordTrim
	case "extract":
		return wordExtract
	case "collation":
		return wordCollation
	case "at":
		return wordAt
	case "normalized":
		return wordNormalized
	}
	return symName
}

// kindOf returns the kind of a statement by its first word.
func kindOf(word string) Kinds {
	switch word {
	case "select":
		return KindSelect
	case "insert":
		return KindInsert
	case "update":
		return KindUpdate
	case "delete":
		return KindDelete
	case "merge":
		return KindMerge
	case "values":
		return KindValues
	case "table":
		return KindTable
	case "begin", "start":
		return KindBegin
	case "commit", "end":
		return KindCommit
	case "rollback", "abort":
		return KindRollback
	case "savepoint", "release":
		return KindSavepoint
	case "set":
		return KindSet
	case "reset":
		return KindReset
	case "show":
		return KindShow
	case "explain":
		return KindExplain
	case "prepare":
		return KindPrepare
	case "execute":
		return KindExecute
	case "deallocate":
		return KindDeallocate
	case "declare":
		return KindDeclare
	case "fetch":
		return KindFetch
	case "move":
		return KindMove
	case "close":
		return KindClose
	case "copy":
		return KindCopyTo | KindCopyFrom // present.copy tells which
	case "lock":
		return KindLock
	case "listen":
		return KindListen
	case "notify":
		return KindNotify
	case "unlisten":
		return KindUnlisten
	case "discard":
		return KindDiscard
	case "call":
		return KindCall
	case "do":
		return KindDo
	case "create", "alter", "drop", "truncate", "comment", "grant", "revoke", "security", "import",
		"reassign", "refresh":
		return KindDDL
	case "vacuum", "analyze", "analyse", "reindex", "cluster", "repack", "checkpoint":
		return KindMaintenance
	}
	return KindOther
}
