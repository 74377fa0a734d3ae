package router

import "github.com/penstock/penstock/internal/catalog"

// Reason says why a statement goes where it goes.
type Reason uint8

// The reasons. Those of classes are sorted: of two that hold, the later is told.
const (
	// ReasonNone is no decision.
	ReasonNone Reason = iota

	// To a replica.

	ReasonSafeRead
	ReasonReadOnlyTransaction

	// Soft hazards: a wish for a replica overrules them.

	ReasonSystemCatalog
	ReasonServerLocal
	ReasonSequence
	ReasonUnknownName
	ReasonRowSecurity
	ReasonView

	// Hard hazards.

	ReasonUnlogged
	ReasonTemporary
	ReasonForeign
	ReasonUnsafeType
	ReasonUnsafeOperator
	ReasonUnsafeFunction
	ReasonCatalogTooLarge
	ReasonNoCatalog
	ReasonLearned // a replica refused it before
	ReasonTransaction
	ReasonSessionState
	ReasonCursor
	ReasonCopy
	ReasonLocking
	ReasonInto
	ReasonDataModifyingWith
	ReasonCall
	ReasonLock
	ReasonMaintenance
	ReasonDDL
	ReasonWrite
	ReasonMultiStatement
	ReasonNotUnderstood

	// Of the session and the configuration.

	ReasonDisabled
	ReasonNoReplicas
	ReasonInTransaction
	ReasonPinned
	ReasonSessionSettings
	ReasonSerializable
	ReasonHintPrimary
	ReasonHintReplica
	ReasonSetTarget
	ReasonStartupTarget
	ReasonRule

	// After the decision for a replica: none could.

	ReasonNoHealthyReplica
	ReasonReplicasLag
	ReasonReplicasBehind // the session's floor
	ReasonFloorUnknown
	ReasonRetried
	ReasonShadow
	ReasonMoved // a transaction, behind its first statement that is no safe read

	reasonEnd
)

// String returns the reason as the console shows it.
func (r Reason) String() string {
	if r >= reasonEnd {
		return "invalid"
	}
	return reasonNames()[r]
}

// Reasons lists all reasons, for tables of counters.
func Reasons() []Reason {
	result := make([]Reason, 0, reasonEnd)
	for r := range reasonEnd {
		result = append(result, r)
	}
	return result
}

// Soft says whether a wish for a replica overrules the reason.
func (r Reason) Soft() bool { return r >= ReasonSystemCatalog && r <= ReasonView }

func reasonNames() [reasonEnd]string {
	return [reasonEnd]string{
		ReasonNone:                "none",
		ReasonSafeRead:            "safe-read",
		ReasonReadOnlyTransaction: "read-only-transaction",
		ReasonSystemCatalog:       "system-catalog",
		ReasonServerLocal:         "server-local",
		ReasonSequence:            "sequence",
		ReasonUnknownName:         "unknown-name",
		ReasonRowSecurity:         "row-security",
		ReasonView:                "view",
		ReasonUnlogged:            "unlogged",
		ReasonTemporary:           "temporary",
		ReasonForeign:             "foreign",
		ReasonUnsafeType:          "unsafe-type",
		ReasonUnsafeOperator:      "unsafe-operator",
		ReasonUnsafeFunction:      "unsafe-function",
		ReasonCatalogTooLarge:     "catalog-too-large",
		ReasonNoCatalog:           "no-catalog",
		ReasonLearned:             "learned",
		ReasonTransaction:         "transaction",
		ReasonSessionState:        "session-state",
		ReasonCursor:              "cursor",
		ReasonCopy:                "copy",
		ReasonLocking:             "locking",
		ReasonInto:                "into",
		ReasonDataModifyingWith:   "data-modifying-with",
		ReasonCall:                "call",
		ReasonLock:                "lock",
		ReasonMaintenance:         "maintenance",
		ReasonDDL:                 "ddl",
		ReasonWrite:               "write",
		ReasonMultiStatement:      "multi-statement",
		ReasonNotUnderstood:       "not-understood",
		ReasonDisabled:            "disabled",
		ReasonNoReplicas:          "no-replicas",
		ReasonInTransaction:       "in-transaction",
		ReasonPinned:              "pinned",
		ReasonSessionSettings:     "session-settings",
		ReasonSerializable:        "serializable",
		ReasonHintPrimary:         "hint-primary",
		ReasonHintReplica:         "hint-replica",
		ReasonSetTarget:           "set-target",
		ReasonStartupTarget:       "startup-target",
		ReasonRule:                "rule",
		ReasonNoHealthyReplica:    "no-healthy-replica",
		ReasonReplicasLag:         "replicas-lag",
		ReasonReplicasBehind:      "replicas-behind",
		ReasonFloorUnknown:        "floor-unknown",
		ReasonRetried:             "retried",
		ReasonShadow:              "shadow",
		ReasonMoved:               "moved",
	}
}

// fromCatalog turns what the catalog says into a reason of ours.
func fromCatalog(r catalog.Reason) Reason {
	switch r {
	case catalog.Safe:
		return ReasonSafeRead
	case catalog.SystemCatalog:
		return ReasonSystemCatalog
	case catalog.ServerLocal:
		return ReasonServerLocal
	case catalog.Sequence:
		return ReasonSequence
	case catalog.Unlogged:
		return ReasonUnlogged
	case catalog.Temporary:
		return ReasonTemporary
	case catalog.Foreign:
		return ReasonForeign
	case catalog.Unknown:
		return ReasonUnknownName
	case catalog.RowSecurity:
		return ReasonRowSecurity
	case catalog.View:
		return ReasonView
	case catalog.UnsafeType:
		return ReasonUnsafeType
	case catalog.UnsafeOperator:
		return ReasonUnsafeOperator
	case catalog.UnsafeFunction:
		return ReasonUnsafeFunction
	case catalog.TooLarge:
		return ReasonCatalogTooLarge
	default:
		return ReasonNoCatalog
	}
}
