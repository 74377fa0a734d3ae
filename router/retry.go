package router

import "strings"

// RetryAction says what to do with a statement whose answer was an error.
type RetryAction uint8

// The actions.
const (
	RetryNone         RetryAction = iota // the client gets the error
	RetrySameReplica                     // at once, once
	RetryOtherReplica                    // the primary if there is none
	RetryPrimary
)

// String returns the action as the console shows it.
func (a RetryAction) String() string {
	switch a {
	case RetrySameReplica:
		return "same-replica"
	case RetryOtherReplica:
		return "other-replica"
	case RetryPrimary:
		return "primary"
	default:
		return "none"
	}
}

// Failure is an error that a statement got, and what matters for running it again.
type Failure struct {
	Reason     Reason // of the statement's class
	OnReplica  bool
	Autocommit bool // no transaction of the client's was open
	BytesSent  bool // something of the answer has left for the client
	Tries      int  // runs before this one

	SQLState string // "" for a connection that broke
	Message  string // the primary message
	// BehindDDL: the replica had not replayed the last DDL that went through us,
	// so what does not exist there may exist.
	BehindDDL bool
}

// mostTries ends the way from replica to replica to primary.
const mostTries = 3

// Retry is the one place that says when a statement is run again: only reads, on
// their own, of which the client has nothing yet. The caller spends of the retry
// [Budget] besides. Learn says that its fingerprint belongs on the primary.
func Retry(f Failure) (action RetryAction, learn bool) {
	if !f.OnReplica {
		return RetryNone, false
	}
	wanted, learn := remedy(f)
	if !f.Autocommit || f.BytesSent || f.Tries >= mostTries || f.Reason != ReasonSafeRead && !harmlessAgain(f) {
		return RetryNone, learn
	}
	if wanted == RetrySameReplica && f.Tries > 0 {
		wanted = RetryOtherReplica
	}
	if wanted == RetryOtherReplica && f.Tries == mostTries-1 {
		wanted = RetryPrimary
	}
	return wanted, learn
}

// harmlessAgain says whether a statement that was sent to a replica on somebody's
// wish may run again: if the replica refused it, it did nothing. A connection
// that broke tells nothing.
func harmlessAgain(f Failure) bool {
	return f.Reason.Soft() && f.SQLState != "" && !strings.HasPrefix(f.SQLState, "08")
}

// remedy says what cures an error of a replica.
func remedy(f Failure) (action RetryAction, learn bool) {
	switch f.SQLState {
	case "", "57P01", "57P02", "57P03", "57P05": // broke, admin_shutdown, crash_shutdown, cannot_connect_now
		return RetryOtherReplica, false
	case "25006": // cannot execute X in a read-only transaction, or during recovery
		return RetryPrimary, true
	case "55000": // recovery is in progress; currval is not yet defined in this session
		return RetryPrimary, strings.HasPrefix(f.Message, "recovery is in progress")
	case "0A000":
		return remedyUnsupported(f.Message)
	case "40001", "40P01":
		if strings.HasSuffix(f.Message, "due to conflict with recovery") || f.SQLState == "40P01" {
			return RetrySameReplica, false
		}
	case "42P01", "42703", "42883", "42704", "3F000": // no such table, column, function, object, schema
		if f.BehindDDL {
			return RetryPrimary, false
		}
	case "26000": // no such prepared statement: the caller prepares it again
		return RetrySameReplica, false
	case "53300": // too many clients
		return RetryOtherReplica, false
	}
	if strings.HasPrefix(f.SQLState, "08") {
		return RetryOtherReplica, false
	}
	return RetryNone, false
}

// remedyUnsupported: 0A000 is broad, so the message must be the exact one.
func remedyUnsupported(message string) (action RetryAction, learn bool) {
	switch message {
	case "cannot set transaction read-write mode during recovery",
		"cannot use serializable mode in a hot standby",
		"cannot access temporary or unlogged relations during recovery":
		return RetryPrimary, true
	case "cached plan must not change result type":
		return RetrySameReplica, false
	}
	return RetryNone, false
}
