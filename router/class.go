package router

import (
	"github.com/penstock/penstock/internal/catalog"
	"github.com/penstock/penstock/internal/sqlscan"
)

// Class is what a text is to the router. It depends on the text, the catalog
// snapshot and the rules only, so it is kept with the text until one of the
// latter two changes.
type Class struct {
	Fingerprint uint64
	Rules       RuleSet // that the text matches
	Name        string  // the name that Reason is about, if any
	Reason      Reason  // ReasonSafeRead, ReasonReadOnlyTransaction or what speaks against a replica
	Hint        sqlscan.Hint
	Transaction Transaction
}

// Transaction is a set of things that a text says about transactions.
type Transaction uint8

// The things.
const (
	TransactionBegins Transaction = 1 << iota
	TransactionEnds
	TransactionReadOnly
	TransactionReadWrite
	TransactionSerializable
	TransactionIsSet // SET TRANSACTION
)

// Has says whether t has any of some.
func (t Transaction) Has(some Transaction) bool { return t&some != 0 }

// reads are the kinds that write nothing by themselves.
const reads = sqlscan.KindSelect | sqlscan.KindValues | sqlscan.KindTable | sqlscan.KindEmpty

// Classify judges a text once for all sessions. st may change after; nothing of
// the class points into it. A nil snapshot is a database that is not known yet.
func Classify(st *sqlscan.Statement, snapshot *catalog.Snapshot, rules *Rules) Class {
	c := Class{
		Fingerprint: st.Fingerprint,
		Rules:       rules.ForStatement(st),
		Hint:        st.Hint,
		Transaction: transactionOf(st),
	}
	c.Reason = ofKinds(st.Kinds, st.Features)
	if features := ofFeatures(st); features > c.Reason {
		c.Reason = features
	}
	switch {
	case c.Reason == ReasonSafeRead, c.Reason.Soft():
		verdict := snapshot.Check(st)
		if reason := fromCatalog(verdict.Reason); reason > c.Reason {
			c.Reason, c.Name = reason, verdict.Name
		}
	case c.Reason == ReasonTransaction && st.Kinds.Only(sqlscan.KindBegin|sqlscan.KindBeginReadOnly) &&
		st.Kinds.Has(sqlscan.KindBeginReadOnly) && st.Count == 1 &&
		!st.Features.Has(sqlscan.FeatureSerializable|sqlscan.FeatureReadWrite):
		c.Reason = ReasonReadOnlyTransaction
	case st.Count > 1 && st.Kinds.Has(transactions) && c.Reason < ReasonMultiStatement:
		c.Reason = ReasonMultiStatement
	}
	return c
}

const transactions = sqlscan.KindBegin | sqlscan.KindBeginReadOnly | sqlscan.KindCommit | sqlscan.KindRollback |
	sqlscan.KindSavepoint | sqlscan.KindTwoPhase | sqlscan.KindSetTransaction

// kindReasons gives each kind of statement its reason; what is not here is a write.
func kindReasons() [11]struct {
	kinds  sqlscan.Kinds
	reason Reason
} {
	return [11]struct {
		kinds  sqlscan.Kinds
		reason Reason
	}{
		{reads, ReasonSafeRead},
		{sqlscan.KindShow | sqlscan.KindExplain | sqlscan.KindExplainAnalyze, ReasonServerLocal},
		{transactions, ReasonTransaction},
		{sqlscan.KindSet | sqlscan.KindSetLocal | sqlscan.KindReset | sqlscan.KindPrepare | sqlscan.KindExecute |
			sqlscan.KindDeallocate | sqlscan.KindListen | sqlscan.KindUnlisten | sqlscan.KindDiscard, ReasonSessionState},
		{sqlscan.KindDeclare | sqlscan.KindFetch | sqlscan.KindMove | sqlscan.KindClose, ReasonCursor},
		{sqlscan.KindCopyTo | sqlscan.KindCopyFrom, ReasonCopy},
		{sqlscan.KindCall | sqlscan.KindDo, ReasonCall},
		{sqlscan.KindLock, ReasonLock},
		{sqlscan.KindMaintenance, ReasonMaintenance},
		{sqlscan.KindDDL, ReasonDDL},
		{sqlscan.KindInsert | sqlscan.KindUpdate | sqlscan.KindDelete | sqlscan.KindMerge | sqlscan.KindNotify |
			sqlscan.KindOther, ReasonWrite},
	}
}

// ofKinds returns the worst reason of a set of kinds.
func ofKinds(kinds sqlscan.Kinds, features sqlscan.Features) Reason {
	if kinds == 0 || features.Has(sqlscan.FeatureNotUnderstood) {
		return ReasonNotUnderstood
	}
	worst := ReasonNone
	for _, row := range kindReasons() {
		if kinds.Has(row.kinds) {
			worst = max(worst, row.reason)
			kinds &^= row.kinds
		}
	}
	if kinds != 0 {
		return ReasonWrite // a kind that is newer than this table
	}
	return worst
}

// ofFeatures returns the worst reason of what stands inside a text.
func ofFeatures(st *sqlscan.Statement) Reason {
	switch f := st.Features; {
	case f.Has(sqlscan.FeatureNotUnderstood):
		return ReasonNotUnderstood
	case f.Has(sqlscan.FeatureDataModifyingWith):
		return ReasonDataModifyingWith
	case f.Has(sqlscan.FeatureInto):
		return ReasonInto
	case f.Has(sqlscan.FeatureLocking):
		return ReasonLocking
	case f.Has(sqlscan.FeatureServerFile):
		return ReasonCopy
	case f.Has(sqlscan.FeatureTemporary):
		return ReasonTemporary
	}
	return ReasonNone
}

// transactionOf tells what a text does to transactions.
func transactionOf(st *sqlscan.Statement) Transaction {
	var t Transaction
	for _, row := range [...]struct {
		is bool
		t  Transaction
	}{
		{st.Kinds.Has(sqlscan.KindBegin | sqlscan.KindBeginReadOnly), TransactionBegins},
		{st.Kinds.Has(sqlscan.KindCommit | sqlscan.KindRollback), TransactionEnds},
		{st.Kinds.Has(sqlscan.KindSetTransaction), TransactionIsSet},
		{st.Features.Has(sqlscan.FeatureReadOnly), TransactionReadOnly},
		{st.Features.Has(sqlscan.FeatureReadWrite), TransactionReadWrite},
		{st.Features.Has(sqlscan.FeatureSerializable), TransactionSerializable},
	} {
		if row.is {
			t |= row.t
		}
	}
	return t
}
