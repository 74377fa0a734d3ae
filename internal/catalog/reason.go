package catalog

// Reason says why a name is not safe on a replica. Larger is worse.
type Reason uint8

// The reasons.
const (
	// Safe: nothing speaks against a replica.
	Safe Reason = iota
	// SystemCatalog: a table or view of the system catalogs, which DDL changes.
	SystemCatalog
	// ServerLocal: the answer is about this server or this session.
	ServerLocal
	// Sequence: a sequence's state is ahead of use in the WAL.
	Sequence
	// Unlogged: replicas do not have its rows.
	Unlogged
	// Temporary: only its own session has it.
	Temporary
	// Foreign: its rows are on another server, reached with side effects.
	Foreign
	// Unknown: called, and neither function, type nor grammar.
	Unknown
	// RowSecurity: a policy of the table, or what the planner evaluates for it
	// (indexes, checks, keys of partitions, statistics), reaches something unsafe.
	RowSecurity
	// View: the view reaches something unsafe.
	View
	// UnsafeType: input, output, a check or a cast of the type is unsafe.
	UnsafeType
	// UnsafeOperator: the function behind an operator is unsafe.
	UnsafeOperator
	// UnsafeFunction: it writes, locks, keeps state, or may do so.
	UnsafeFunction
	// TooLarge: the catalog has more than a snapshot holds.
	TooLarge
	// NoCatalog: nothing is known about this database yet.
	NoCatalog
)

// String returns the reason as the console shows it.
func (r Reason) String() string {
	switch r {
	case Safe:
		return "safe"
	case SystemCatalog:
		return "system-catalog"
	case ServerLocal:
		return "server-local"
	case Sequence:
		return "sequence"
	case Unlogged:
		return "unlogged"
	case Temporary:
		return "temporary"
	case Foreign:
		return "foreign"
	case Unknown:
		return "unknown-name"
	case RowSecurity:
		return "row-security"
	case View:
		return "view"
	case UnsafeType:
		return "unsafe-type"
	case UnsafeOperator:
		return "unsafe-operator"
	case UnsafeFunction:
		return "unsafe-function"
	case TooLarge:
		return "catalog-too-large"
	case NoCatalog:
		return "no-catalog"
	default:
		return "invalid"
	}
}

// Verdict is what a snapshot says about a statement: the worst reason, and the
// name that gave it. Name lives as long as the caller likes.
type Verdict struct {
	Reason Reason
	Name   string
}
