package sqlscan

// Options are the settings of a session that change how its texts are read.
type Options struct {
	// NonStandardStrings is standard_conforming_strings = off: a backslash
	// escapes in every string.
	NonStandardStrings bool

	// UnsafeEncoding is a client_encoding in which the second byte of a letter
	// may look like ASCII: SJIS, SHIFT_JIS_2004, BIG5, GBK, UHC, JOHAB, GB18030.
	// A text with a byte above 127 is then NotUnderstood.
	UnsafeEncoding bool
}

// Statement is what a text says. Everything in it errs to the unsafe side: a
// kind or a feature may be reported that is not there, never the reverse.
type Statement struct {
	// Fingerprint is the same for texts that differ only in constants, the
	// lengths of lists of constants, layout, comments and the case of words. It
	// is the same in every process and release (see fingerprint.go), but for
	// nobody who would forge one: two texts can be made that share it.
	Fingerprint uint64

	Kinds    Kinds
	Features Features
	Hint     Hint

	// Count is the number of statements that are not empty.
	Count int

	// MaxParam is the highest n of the parameters $n.
	MaxParam int

	// Names are the chains of identifiers, each once or nearly so. Any of them
	// may name a relation, a function, a type, a column or nothing at all.
	Names []Name

	// Operators are the distinct operators, with those that words stand for,
	// as "~~" for LIKE.
	Operators []string
}

// Name is a chain of identifiers, folded and without quotes, cut at 63 bytes
// as PostgreSQL cuts. Bytes above 127 are in the client's encoding. The last part
// of a chain may call a function of the row before it: row.function.
type Name struct {
	Schema string // the last part but one
	Name   string // the last part
	Parts  int    // of the whole chain
	Call   bool   // "(" follows, and it may be a call
	Field  bool   // of a value, as in (expression).name, [1].name, $1.name. It may be a function of that value
}

// Hint is what a comment /* penstock: ... */ asks for.
type Hint uint8

// The hints. The last one counts, but nothing takes a primary back.
const (
	HintNone Hint = iota
	HintReplica
	HintPrimary
)

// Kinds is a set of kinds of statements.
type Kinds uint64

// The kinds of top-level statements.
const (
	KindSelect Kinds = 1 << iota // also WITH ... SELECT
	KindValues
	KindTable // TABLE t
	KindInsert
	KindUpdate
	KindDelete
	KindMerge
	KindBegin // BEGIN or START TRANSACTION
	KindBeginReadOnly
	KindCommit    // COMMIT, END
	KindRollback  // ROLLBACK, ABORT
	KindSavepoint // SAVEPOINT, RELEASE, ROLLBACK TO
	KindTwoPhase  // PREPARE TRANSACTION, COMMIT PREPARED, ROLLBACK PREPARED
	KindSet       // for the session
	KindSetLocal  // SET LOCAL, SET CONSTRAINTS
	KindSetTransaction
	KindReset
	KindShow
	KindExplain        // the kind of the explained statement is in the set too
	KindExplainAnalyze // as well as KindExplain
	KindPrepare
	KindExecute
	KindDeallocate
	KindDeclare
	KindFetch
	KindMove
	KindClose
	KindCopyTo
	KindCopyFrom
	KindLock
	KindListen
	KindNotify
	KindUnlisten
	KindDiscard
	KindCall
	KindDo
	KindDDL         // CREATE, ALTER, DROP, TRUNCATE, GRANT, COMMENT, REFRESH and so on
	KindMaintenance // VACUUM, ANALYZE, REINDEX, CLUSTER, CHECKPOINT
	KindEmpty       // nothing but comments, space and semicolons
	KindOther
)

// Only says whether k has nothing outside allowed, and something.
func (k Kinds) Only(allowed Kinds) bool { return k != 0 && k&^allowed == 0 }

// Has says whether k has any of some.
func (k Kinds) Has(some Kinds) bool { return k&some != 0 }

// Features is a set of things that a text has.
type Features uint32

// The features.
const (
	// FeatureNotUnderstood: the text is unfinished, too large, or has a byte
	// that no token has. Nothing else is then complete.
	FeatureNotUnderstood Features = 1 << iota
	// FeatureMulti is more than one statement.
	FeatureMulti
	// FeatureWith is the word WITH.
	FeatureWith
	// FeatureDataModifyingWith is INSERT, UPDATE, DELETE or MERGE where a
	// statement may begin inside another.
	FeatureDataModifyingWith
	// FeatureInto is INTO in a statement that does not begin with INSERT or MERGE.
	FeatureInto
	// FeatureLocking is FOR UPDATE, FOR NO KEY UPDATE, FOR SHARE, FOR KEY SHARE.
	FeatureLocking
	// FeatureTemporary is a temporary object made, or a name that says pg_temp.
	FeatureTemporary
	// FeatureParameters is a $n.
	FeatureParameters
	// FeatureLiterals is a string or a number.
	FeatureLiterals
	// FeatureTimeLiterals is a string that may be read as now, today, tomorrow
	// or yesterday. Not found are words that an expression puts together, and
	// strings that depend on the date for another reason, as the time zones of timetz.
	FeatureTimeLiterals
	// FeatureCurrentTime is CURRENT_TIMESTAMP, LOCALTIME and their like.
	FeatureCurrentTime
	// FeatureSessionUser is CURRENT_USER, CURRENT_SCHEMA, CURRENT_CATALOG and their like.
	FeatureSessionUser
	// FeatureTableSample is the word TABLESAMPLE.
	FeatureTableSample
	// FeatureOrderBy is the word ORDER.
	FeatureOrderBy
	// FeatureLimit is LIMIT, OFFSET or FETCH inside a statement.
	FeatureLimit
	// FeatureSerializable is SERIALIZABLE in BEGIN or SET.
	FeatureSerializable
	// FeatureReadOnly is READ ONLY in BEGIN or SET.
	FeatureReadOnly
	// FeatureReadWrite is READ WRITE in BEGIN or SET.
	FeatureReadWrite
	// FeatureServerFile is a COPY whose other side is not surely STDIN or STDOUT.
	FeatureServerFile
	// FeatureForeignName is an identifier with a byte above 127. How it is
	// folded and cut depends on the encoding of the database: here as in UTF8.
	FeatureForeignName
	// FeatureNoCache is the word nocache in a comment /* penstock: ... */.
	FeatureNoCache
)

// Has says whether f has any of some.
func (f Features) Has(some Features) bool { return f&some != 0 }
