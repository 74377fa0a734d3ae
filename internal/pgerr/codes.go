package pgerr

// Code is an SQLSTATE: five characters, each a digit or an upper-case letter
// (manual, Appendix A).
type Code string

// The SQLSTATEs Penstock sends of its own accord. Errors of a server keep
// whatever code the server gave them.
const (
	ConnectionFailure               Code = "08006" // connection_failure
	TransactionResolutionUnknown    Code = "08007" // transaction_resolution_unknown
	ProtocolViolation               Code = "08P01" // protocol_violation
	FeatureNotSupported             Code = "0A000" // feature_not_supported
	InvalidParameterValue           Code = "22023" // invalid_parameter_value
	ReadOnlySQLTransaction          Code = "25006" // read_only_sql_transaction
	InFailedSQLTransaction          Code = "25P02" // in_failed_sql_transaction
	IdleInTransactionSessionTimeout Code = "25P03" // idle_in_transaction_session_timeout
	TransactionTimeout              Code = "25P04" // transaction_timeout
	InvalidSQLStatementName         Code = "26000" // invalid_sql_statement_name
	InvalidAuthorization            Code = "28000" // invalid_authorization_specification
	InvalidPassword                 Code = "28P01" // invalid_password
	InvalidCursorName               Code = "34000" // invalid_cursor_name
	InvalidCatalogName              Code = "3D000" // invalid_catalog_name
	InsufficientPrivilege           Code = "42501" // insufficient_privilege
	SyntaxError                     Code = "42601" // syntax_error
	UndefinedObject                 Code = "42704" // undefined_object
	DuplicatePreparedStatement      Code = "42P05" // duplicate_prepared_statement
	TooManyConnections              Code = "53300" // too_many_connections
	ProgramLimitExceeded            Code = "54000" // program_limit_exceeded
	ObjectNotInPrerequisiteState    Code = "55000" // object_not_in_prerequisite_state
	QueryCanceled                   Code = "57014" // query_canceled
	AdminShutdown                   Code = "57P01" // admin_shutdown
	CannotConnectNow                Code = "57P03" // cannot_connect_now
	IdleSessionTimeout              Code = "57P05" // idle_session_timeout
	InternalError                   Code = "XX000" // internal_error
)

// valid reports whether c can stand in an ErrorResponse. A server may send
// anything, even no code at all (CVE-2026-6666).
func (c Code) valid() bool {
	if len(c) != 5 {
		return false
	}
	for i := range len(c) {
		if (c[i] < '0' || c[i] > '9') && (c[i] < 'A' || c[i] > 'Z') {
			return false
		}
	}
	return true
}

// Severity is the S and V field of an ErrorResponse. PostgreSQL translates S
// to lc_messages; Penstock does not.
type Severity string

// The severities of an ErrorResponse that Penstock sends.
const (
	SeverityError Severity = "ERROR" // the session stays usable
	SeverityFatal Severity = "FATAL" // Penstock closes the connection
)
