package sqlscan

// present is what is known of the statement that is being read.
type present struct {
	kinds Kinds
	phase phase

	into     bool // INTO was seen
	with     bool // WITH was seen
	searched bool // SEARCH or CYCLE was seen
	opened   bool // the statement behind the list of WITH is in parentheses
	routine  bool // FUNCTION or PROCEDURE was seen
	atomic   int  // open BEGIN ATOMIC and CASE in a body

	pending symbol // INSERT, UPDATE, DELETE or MERGE where a statement may begin

	base      int // depth of parentheses at which the phase listens
	readOnly  bool
	readWrite bool
	serial    bool
}

// phase is what the beginning of a statement waits for.
type phase uint8

const (
	phaseStart          phase = iota // the first word
	phaseNone                        // nothing more
	phaseWith                        // the word behind the list of WITH
	phaseExplain                     // options of EXPLAIN, or what it explains
	phaseExplainOpened               // which of the two stands in the parenthesis
	phaseExplainOptions              // their end
	phaseModes                       // READ ONLY and the like
	phaseSet                         // what is set
	phaseSecond                      // PREPARED, TO, TRANSACTION
	phaseCopy                        // TO or FROM
	phaseCopyTarget                  // STDIN or STDOUT
	phaseCopyFile                    // nothing more; it was neither
	phaseSetValue                    // nothing more but SERIALIZABLE
)

// step follows the beginning of a statement. The depth is the one behind the token.
func (p *present) step(sym symbol, text string, prev symbol, depth int) {
	isWord := sym == symName || sym >= symWord
	switch p.phase {
	case phaseStart:
		switch {
		case isWord:
			p.first(sym, text, depth)
		case sym != '(':
			p.kinds |= KindOther
			p.phase = phaseNone
		}
	case phaseWith:
		switch depth {
		case p.base:
			p.mainVerb(sym, prev)
		case p.base + 1:
			p.opened = p.opened || sym == '(' && prev == ')'
		}
	case phaseExplain:
		switch {
		case sym == wordAnalyze:
			p.kinds |= KindExplainAnalyze
		case text == "verbose" && isWord:
		case sym == '(':
			p.phase = phaseExplainOpened
		default:
			p.phase = phaseStart
			p.step(sym, text, prev, depth)
		}
	case phaseExplainOpened:
		switch sym {
		case wordSelect, wordValues, wordTable, wordWith, '(':
			p.phase = phaseStart
		default:
			p.phase = phaseExplainOptions
		}
		p.step(sym, text, prev, depth)
	case phaseExplainOptions:
		switch {
		case sym == wordAnalyze, sym == symQuoted:
			p.kinds |= KindExplainAnalyze
		case depth == p.base:
			p.phase = phaseStart
		}
	case phaseModes:
		p.mode(sym, prev)
	case phaseSet:
		p.set(sym, text)
	case phaseSetValue:
		p.serial = p.serial || sym == wordSerializable
	case phaseSecond:
		p.second(sym, text)
	case phaseCopy:
		p.copy(sym, depth)
	case phaseCopyTarget:
		p.phase = phaseCopyFile
		if sym == symName && (text == "stdin" || text == "stdout") {
			p.phase = phaseNone
		}
	case phaseNone, phaseCopyFile:
	}
}

// first takes the first word, of the statement or of the one it explains.
func (p *present) first(sym symbol, text string, depth int) {
	p.base, p.phase = depth, phaseNone
	if sym == wordWith {
		p.phase = phaseWith
		return
	}
	kind := kindOf(text)
	p.kinds |= kind
	switch kind {
	case KindExplain:
		p.phase = phaseExplain
	case KindBegin:
		p.phase = phaseModes
		if text == "start" {
			p.phase = phaseSecond
		}
	case KindSet:
		p.phase = phaseSet
	case KindCommit, KindRollback, KindPrepare:
		p.phase = phaseSecond
	case KindCopyTo | KindCopyFrom:
		p.phase = phaseCopy
	default:
	}
}

// mainVerb looks for the verb behind the list of WITH. SELECT and TABLE cannot
// be names there; the others can, but not behind a parenthesis.
func (p *present) mainVerb(sym, prev symbol) {
	var kind Kinds
	switch sym {
	case wordSelect:
		kind = KindSelect
	case wordTable:
		kind = KindTable
	case wordValues:
		kind = KindValues
	case wordInsert:
		kind = KindInsert
	case wordUpdate:
		kind = KindUpdate
	case wordDelete:
		kind = KindDelete
	case wordMerge:
		kind = KindMerge
	default:
		return
	}
	if prev == ')' || sym == wordSelect || sym == wordTable {
		p.phase = phaseNone
	} else if !p.searched && sym != wordValues {
		return
	}
	p.kinds |= kind
}

// mode reads the modes of a transaction.
func (p *present) mode(sym, prev symbol) {
	switch {
	case sym == wordSerializable:
		p.serial = true
	case prev == wordRead && sym == wordOnly:
		p.readOnly = true
	case prev == wordRead && sym == wordWrite:
		p.readWrite = true
	}
}

// set reads what SET sets. SET SESSION is SET.
func (p *present) set(sym symbol, text string) {
	p.phase = phaseSetValue
	if sym != symName {
		return
	}
	switch text {
	case "local":
		p.kinds = p.kinds&^KindSet | KindSetLocal
		p.phase = phaseSet
	case "session":
		p.phase = phaseSet
	case "transaction":
		p.kinds = p.kinds&^(KindSet|KindSetLocal) | KindSetTransaction
		p.phase = phaseModes
	case "characteristics":
		p.phase = phaseModes
	case "constraints":
		p.kinds = p.kinds&^KindSet | KindSetLocal
	}
}

// second reads what comes behind COMMIT, ROLLBACK, PREPARE and START.
func (p *present) second(sym symbol, text string) {
	p.phase = phaseNone
	switch {
	case p.kinds.Has(KindBegin):
		p.phase = phaseModes
		if text != "transaction" {
			p.kinds = KindOther // START_REPLICATION is another word; START x is none
		}
	case p.kinds.Has(KindPrepare):
		if text == "transaction" {
			p.kinds |= KindTwoPhase // or a statement of that name
		}
	case text == "prepared":
		p.kinds = KindTwoPhase
	case sym == wordTo:
		p.kinds = KindSavepoint
	case text == "work" || text == "transaction":
		p.phase = phaseSecond
	}
}

// copy looks for the direction of COPY.
func (p *present) copy(sym symbol, depth int) {
	if depth != p.base || sym != wordTo && sym != wordFrom {
		return
	}
	p.kinds &^= KindCopyFrom | KindCopyTo
	if p.phase = phaseCopyTarget; sym == wordTo {
		p.kinds |= KindCopyTo
		return
	}
	p.kinds |= KindCopyFrom
}

// body follows BEGIN ATOMIC ... END, in which semicolons end nothing.
func (p *present) body(sym, prev symbol) {
	switch {
	case sym == wordAtomic:
		if p.atomic == 0 && prev == wordBegin && p.routine && p.kinds.Has(KindDDL) {
			p.atomic = 1
		}
	case p.atomic == 0 || prev == wordAs: // AS end is a label
	case sym == wordCase:
		p.atomic++
	case sym == wordEnd:
		p.atomic--
	}
}

// end returns the kinds of the statement that ends here, and notes what only
// now is sure.
func (p *present) end(st *Statement) Kinds {
	switch p.phase {
	case phaseStart, phaseExplain, phaseExplainOpened, phaseExplainOptions:
		p.kinds |= KindOther
	case phaseWith:
		if !p.kinds.Has(KindSelect | KindValues | KindTable | KindInsert | KindUpdate | KindDelete | KindMerge) {
			p.kinds |= KindSelect // in parentheses
		}
	case phaseCopy, phaseCopyTarget, phaseCopyFile:
		st.Features |= FeatureServerFile
	default:
	}
	if p.readOnly {
		st.Features |= FeatureReadOnly
		if p.kinds == KindBegin && !p.readWrite {
			p.kinds = KindBeginReadOnly
		}
	}
	if p.readWrite {
		st.Features |= FeatureReadWrite
	}
	if p.serial {
		st.Features |= FeatureSerializable
	}
	if p.atomic > 0 {
		st.Features |= FeatureNotUnderstood
	}
	return p.kinds
}
