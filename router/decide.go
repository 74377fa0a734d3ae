package router

import "github.com/penstock/penstock/internal/sqlscan"

// Options are what the configuration says about routing in a database.
type Options struct {
	Enabled    bool
	Replicas   int // configured, fit or not
	TrustHints bool
	Rules      *Rules
}

// Session are the facts about a session that decide.
type Session struct {
	InTransaction  bool // open on a server, failed or not
	OnReplica      bool // that server is a replica
	Deferred       bool // BEGIN was answered, no server has it yet
	ReadOnly       bool // of the transaction that is deferred, or the default for the next
	Serializable   bool // likewise
	Pinned         bool
	ForeignSetting bool    // settings were changed that we do not carry to another server
	Set            Target  // SET penstock.target
	Startup        Target  // the startup parameter
	Rules          RuleSet // that the session matches
}

// Input is all that [Decide] looks at. Nothing of it is changed.
type Input struct {
	Class   *Class
	Session *Session
	Options *Options
}

// Decision is where a statement goes and why. Hazard is what speaks against a
// replica where it goes to one all the same, or was wished to.
type Decision struct {
	Target Target // TargetPrimary or TargetReplica
	Reason Reason
	Hazard Reason
	Rule   uint8 // the number of the rule that decided, from 1
}

// Reads says whether what goes there is a text that only reads, or would but for
// a name in it.
func (d Decision) Reads() bool {
	return d.Reason >= ReasonSafeRead && d.Reason < ReasonTransaction ||
		d.Reason >= ReasonHintPrimary && d.Reason <= ReasonRetried
}

// Decide is a pure function; the package comment has the order of what it looks at.
func Decide(in Input) Decision {
	s, c, o := in.Session, in.Class, in.Options
	switch {
	case !o.Enabled:
		return Decision{Target: TargetPrimary, Reason: ReasonDisabled}
	case o.Replicas == 0:
		return Decision{Target: TargetPrimary, Reason: ReasonNoReplicas}
	case s.InTransaction && s.OnReplica:
		return Decision{Target: TargetReplica, Reason: ReasonReadOnlyTransaction, Hazard: hazard(c.Reason)}
	case s.InTransaction:
		return Decision{Target: TargetPrimary, Reason: ReasonInTransaction}
	case s.Pinned:
		return Decision{Target: TargetPrimary, Reason: ReasonPinned}
	case s.ForeignSetting:
		return Decision{Target: TargetPrimary, Reason: ReasonSessionSettings}
	case s.Serializable || c.Transaction.Has(TransactionSerializable):
		return Decision{Target: TargetPrimary, Reason: ReasonSerializable}
	case s.Deferred && !s.ReadOnly:
		return Decision{Target: TargetPrimary, Reason: ReasonInTransaction}
	}
	wish, why, rule := wished(in)
	if wish == TargetPrimary {
		return Decision{Target: TargetPrimary, Reason: why, Rule: rule}
	}
	against := hazard(c.Reason)
	switch {
	case against == ReasonNone && wish == TargetReplica:
		return Decision{Target: TargetReplica, Reason: why, Rule: rule}
	case against == ReasonNone && s.Deferred:
		return Decision{Target: TargetReplica, Reason: ReasonReadOnlyTransaction}
	case against == ReasonNone:
		return Decision{Target: TargetReplica, Reason: c.Reason}
	case against.Soft() && wish == TargetReplica:
		return Decision{Target: TargetReplica, Reason: why, Hazard: against, Rule: rule}
	case wish == TargetReplica:
		return Decision{Target: TargetPrimary, Reason: against, Hazard: against, Rule: rule}
	}
	return Decision{Target: TargetPrimary, Reason: against}
}

// hazard is ReasonNone for a class that may go to a replica.
func hazard(r Reason) Reason {
	if r == ReasonSafeRead || r == ReasonReadOnlyTransaction {
		return ReasonNone
	}
	return r
}

// wished returns the wish of the first who has one.
func wished(in Input) (wish Target, why Reason, rule uint8) {
	s, c, o := in.Session, in.Class, in.Options
	switch {
	case c.Hint == sqlscan.HintPrimary:
		return TargetPrimary, ReasonHintPrimary, 0
	case c.Hint == sqlscan.HintReplica && o.TrustHints:
		return TargetReplica, ReasonHintReplica, 0
	case s.Set != TargetNone:
		return s.Set, ReasonSetTarget, 0
	case s.Startup != TargetNone:
		return s.Startup, ReasonStartupTarget, 0
	}
	number, target := o.Rules.first(s.Rules & c.Rules)
	return target, ReasonRule, uint8(number)
}
