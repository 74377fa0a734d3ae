package proxy

import (
	"errors"
	"slices"
	"time"

	"github.com/penstock/penstock/internal/wire"
	"github.com/penstock/penstock/pool"
	"github.com/penstock/penstock/router"
)

// A read that is safe on a replica may be run again somewhere else when its
// server fails: it changes nothing. That is done only while nothing of its
// answer has reached the client, so the answer is held back until it is
// complete or too large to hold. Where an error could be healed in that way,
// router.Heal says.

// attemptLimit bounds the copy of a cycle that may be run again, and what is
// held back of its answer, in bytes each.
const attemptLimit = wire.BufferSize

// attempt is a cycle that may be run again.
type attempt struct {
	single  bool // nothing is sent behind this cycle before it is over
	armed   bool // nothing of its answer has reached the client
	failed  bool // it will be run again
	batch   []byte
	held    []byte        // of the answer
	parsed  []string      // the names that it has prepared
	closed  []closed      // the names that it has closed
	vars    pool.Settings // what the client knew before it
	unnamed *Statement    // that of the session before it
}

// closed is a statement that a cycle has closed, under its client's name.
type closed struct {
	name string
	was  named
}

// reset forgets everything but the memory.
func (a *attempt) reset() {
	clear(a.closed)
	*a = attempt{batch: a.batch[:0], held: a.held[:0], parsed: a.parsed[:0], closed: a.closed[:0]}
}

// noteClose notes that a statement is about to be closed that the cycle has not
// prepared itself.
func (a *attempt) noteClose(name string, was named) {
	if a.armed && was.Statement != nil && !slices.Contains(a.parsed, name) {
		a.closed = append(a.closed, closed{name, was})
	}
}

// arm makes cycle one that may be run again. It is called before cycle is
// composed, on a link that has nothing outstanding. mu is held.
func (s *session) arm(l *link, cycle []byte) {
	a := &l.attempt
	a.reset()
	a.single = true
	if len(cycle) > attemptLimit {
		return
	}
	a.armed = true
	a.batch = append(a.batch, cycle...)
	a.unnamed, a.vars = s.unnamed.now, l.known
}

// hold keeps back what goes to the client of a cycle that may be run again,
// until it is complete. It returns what goes out now.
func (l *link) hold(out []byte) []byte {
	a := &l.attempt
	if !a.armed && len(a.held) == 0 {
		return out
	}
	complete := l.replies.len() == 0 && l.remain == 0
	if a.armed && !complete && len(a.held)+len(out) <= attemptLimit {
		a.held = append(a.held, out...)
		return nil
	}
	a.armed = false
	if len(a.held) == 0 {
		return out
	}
	out = append(a.held, out...)
	a.held = a.held[:0] // its memory is written to when the client has it
	return out
}

// fails decides whether an error is the server's and not the statement's, and
// has the rest of the answer thrown away if so: the cycle is run again when
// the server has come to its end.
func (d *digester) fails(f fields) bool {
	s, l := d.s, d.l
	a := &l.attempt
	if !a.armed || a.failed || s.phase == phaseGone || s.route == nil {
		return false
	}
	if r := l.replies.first(); r == nil || r.action == skip && !r.extended() {
		return false // of ours: the connection is closed for it, and Lost has the cycle run elsewhere
	}
	if !s.route.heals(l, f.code, f.message) {
		return false
	}
	d.out, d.from = d.out[:0], d.pos
	a.held = a.held[:0]
	a.failed = true
	if n := l.replies.untilSync(); n < l.replies.len() {
		l.replies.at(n).action = skip
		d.skipToSync()
	} else {
		l.replies.first().action = skip // a simple query: ReadyForQuery is to come
	}
	return true
}

// rerun unlinks a server connection on which a cycle has failed, takes back
// what the cycle has changed in the session, and leaves it to session.run to
// run it again. mu is held.
func (s *session) rerun(l *link) {
	a := &l.attempt
	defer s.unlinkFor(l, phaseWaiting)
	for _, name := range a.parsed {
		delete(s.statements, name)
	}
	for _, c := range a.closed {
		s.statements[c.name] = c.was
	}
	s.vars = a.vars // what was announced with the answer has not been heard
	s.unnamed = slot{now: a.unnamed, next: a.unnamed}
	s.route.again = slices.Clone(a.batch)
	s.route.failedOn = l.host
}

// unlinkFor unlinks for what is to come. mu is held.
func (s *session) unlinkFor(l *link, p phase) {
	s.unlink(l)
	s.phase = p
}

// heals says whether an error of this cycle may be healed by another server.
func (r *route) heals(l *link, code, message string) bool {
	action := r.cluster.Heal(router.Failure{
		Reason: router.ReasonSafeRead, OnReplica: l.replica, Autocommit: true, Tries: r.tries, SQLState: code, Message: message,
	}, l.host, r.fingerprint)
	r.primaryNext = action == router.RetryPrimary
	return action != router.RetryNone
}

// Woken runs the cycle again that another goroutine has left. It runs in
// session.run's goroutine.
func (s *session) Woken() error {
	s.mu.Lock()
	if s.route == nil || s.route.again == nil {
		s.mu.Unlock()
		return nil
	}
	return s.runAgain()
}

// runAgain runs a failed cycle on another server. mu is held on entry and not
// on return.
func (s *session) runAgain() error {
	r := s.route
	cycle := r.again
	r.again = nil
	r.tries++
	if host, _ := r.cluster.Primary(); r.failedOn == host && r.tries > 1 {
		s.mu.Unlock()
		r.cluster.AwaitChange(20 * time.Millisecond) // its other connections are hardly better
		s.mu.Lock()
	}
	c := s.firstCycle(cycle, r)
	d := s.decide(&c)
	if d.Target == router.TargetReplica && r.primaryNext {
		d.Target, d.Reason = router.TargetPrimary, router.ReasonRetried
	}
	l, err := s.acquireFor(&d)
	if err != nil {
		return s.answerCycle(err)
	}
	s.arm(l, cycle)
	_, err = s.send(l, cycle)
	if errors.Is(err, errAgain) {
		s.mu.Lock()
		r.again = cycle
		return s.runAgain()
	}
	return err
}

// answerCycle answers a whole cycle of the client's with an error of ours.
func (s *session) answerCycle(cause error) error {
	answer, err := ourError(cause)
	if err != nil {
		return err
	}
	return s.say(wire.AppendReady(answer, s.idleStatus()))
}
