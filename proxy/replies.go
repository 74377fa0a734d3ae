package proxy

import "github.com/penstock/penstock/internal/sqlscan"

// replyKind is the request that a reply answers.
type replyKind uint8

const (
	replyQuery replyKind = iota
	replyFunction
	replyParse
	replyBind
	replyDescribe
	replyExecute
	replyClose
	replySync
	replyCopyEnd // CopyDone or CopyFail: no reply of its own
)

// action is what to do with a reply: the three of PgBouncer's queue.
type action uint8

const (
	forward action = iota // to the client
	skip                  // it answers something that we sent ourselves
	insert                // the server sends none: we make it
)

// reply is one entry of the queue: what is expected back for one message.
type reply struct {
	kind    replyKind
	action  action
	effect  sqlscan.Kind // of the text that runs
	unnamed bool         // it leaves stmt in the unnamed slot
	stmt    *Statement   // Parse, Bind, Close: the statement meant
	name    string       // Parse, Close: the client's name; Query, Execute: the setting that effect means
}

// extended says whether an error in this request makes the server discard
// everything until Sync. Manual, Message Flow, Extended Query.
func (r *reply) extended() bool {
	return r.kind != replyQuery && r.kind != replyFunction && r.kind != replySync
}

// closesCycle says whether the request is answered by ReadyForQuery.
func (r *reply) closesCycle() bool {
	return r.kind == replyQuery || r.kind == replyFunction || r.kind == replySync
}

// replies is the queue of what is expected back from a server connection, in
// the order of the wire. It is a ring that grows and keeps its memory.
type replies struct {
	ring []reply // length is a power of two
	head int
	n    int
}

func (q *replies) len() int { return q.n }

// at returns the i-th entry from the head.
func (q *replies) at(i int) *reply { return &q.ring[(q.head+i)&(len(q.ring)-1)] }

// first returns the head, nil if nothing is expected.
func (q *replies) first() *reply {
	if q.n == 0 {
		return nil
	}
	return &q.ring[q.head]
}

func (q *replies) push(r reply) {
	if q.n == len(q.ring) {
		q.grow()
	}
	q.ring[(q.head+q.n)&(len(q.ring)-1)] = r
	q.n++
}

func (q *replies) grow() {
	ring := make([]reply, max(16, 2*len(q.ring)))
	for i := range q.n {
		ring[i] = *q.at(i)
	}
	q.ring, q.head = ring, 0
}

// pop drops the head.
func (q *replies) pop() {
	q.ring[q.head] = reply{}
	q.head = (q.head + 1) & (len(q.ring) - 1)
	q.n--
}

// cut drops the newest entries so that n are left.
func (q *replies) cut(n int) {
	for q.n > n {
		*q.at(q.n - 1) = reply{}
		q.n--
	}
}

// untilSync is the number of entries before the next Sync: those whose
// requests the server discards after an error in the head.
func (q *replies) untilSync() int {
	for i := range q.n {
		if q.at(i).kind == replySync {
			return i
		}
	}
	return q.n
}

// hasCycle says whether an answer is outstanding that will come without the
// client's doing more.
func (q *replies) hasCycle() bool { return q.cycles() > 0 }

// ofClient says whether an answer to the client's own messages is outstanding.
func (q *replies) ofClient() bool {
	for i := range q.n {
		if q.at(i).action == forward {
			return true
		}
	}
	return false
}

// cycles is the number of entries up to and with the last one of the client's
// that closes a cycle: what they change is not sure yet.
func (q *replies) cycles() int {
	for i := q.n; i > 0; i-- {
		if r := q.at(i - 1); r.closesCycle() && r.action != skip {
			return i
		}
	}
	return 0
}

// unsure says whether what a name or statement means depends on the outcome of
// an earlier cycle, whose errors would undo what it has changed.
func (q *replies) unsure(name string, st *Statement) bool {
	for i := range q.cycles() {
		r := q.at(i)
		switch r.effect {
		case sqlscan.DeallocateAll, sqlscan.DiscardAll:
			return true
		case sqlscan.Deallocate:
			if r.name == name {
				return true
			}
		default:
		}
		if (r.kind == replyParse || r.kind == replyClose) && (r.stmt != nil && r.stmt == st || r.name == name && name != "") {
			return true
		}
	}
	return false
}

// unsureUnnamed says the same of the unnamed statement.
func (q *replies) unsureUnnamed() bool {
	for i := range q.cycles() {
		if q.at(i).unnamed {
			return true
		}
	}
	return false
}

// parsedSince says whether an entry from i on parses the unnamed statement.
func (q *replies) parsedSince(i int) bool {
	for ; i < q.n; i++ {
		if r := q.at(i); r.kind == replyParse && r.unnamed {
			return true
		}
	}
	return false
}

// dropSyncsInCopy removes the Syncs that the server ignores because it reads
// them as part of a COPY that the head has started: those before the end of
// the copied data. Manual, Message Flow, COPY Operations.
func (q *replies) dropSyncsInCopy() {
	kept := 1
	i := 1
	for ; i < q.n && q.at(i).kind != replyCopyEnd; i++ {
		if q.at(i).kind != replySync {
			*q.at(kept) = *q.at(i)
			kept++
		}
	}
	for ; i < q.n; i++ {
		*q.at(kept) = *q.at(i)
		kept++
	}
	q.cut(kept)
}
