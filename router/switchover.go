package router

import "time"

// SwitchoverState is a step on the way from one primary to the next.
type SwitchoverState uint8

// The states, in their order. Reads on replicas flow in all of them.
const (
	SwitchoverServing   SwitchoverState = iota
	SwitchoverHolding                   // new transactions wait, open ones and single statements go on
	SwitchoverDraining                  // single statements wait too
	SwitchoverWaiting                   // nothing runs on the old primary; the new one is awaited
	SwitchoverReleasing                 // the held are let go, few at first
)

// String returns the state as the console shows it.
func (s SwitchoverState) String() string {
	switch s {
	case SwitchoverServing:
		return "serving"
	case SwitchoverHolding:
		return "holding"
	case SwitchoverDraining:
		return "draining"
	case SwitchoverWaiting:
		return "waiting"
	case SwitchoverReleasing:
		return "releasing"
	default:
		return "invalid"
	}
}

// SwitchoverOptions are the deadlines. Zero fields get the defaults in parentheses.
type SwitchoverOptions struct {
	Grace  time.Duration // (3s) for open transactions
	Drain  time.Duration // (1s) for single statements after it
	Window time.Duration // (10s) from the start to the new primary
	Ramp   time.Duration // (20ms) in which the number let go doubles
	First  int           // (8) let go at first
}

// SwitchoverFacts are how things stand.
type SwitchoverFacts struct {
	Open     int  // transactions open on the old primary
	Running  int  // single statements running there
	Held     int  // sessions waiting
	Promoted bool // a new primary was verified by [Roles]
	Same     bool // the old primary is still the primary, and takes writes
}

// SwitchoverOutcome says how one ended.
type SwitchoverOutcome uint8

// The outcomes.
const (
	SwitchoverPending   SwitchoverOutcome = iota
	SwitchoverDone                        // on the new primary
	SwitchoverGivenUp                     // back on the old one
	SwitchoverNoPrimary                   // on none: the held get an error
)

// SwitchoverOrders are what the caller does until the next Step.
type SwitchoverOrders struct {
	State            SwitchoverState
	HoldTransactions bool
	HoldSingles      bool
	CancelOpen       bool // the grace is over: open transactions end with 40001
	Promote          bool // true once: now the old primary may be stopped
	FailHeld         bool
	Admit            int // with Releasing: how many of the held may be under way
	Outcome          SwitchoverOutcome
	Next             time.Duration // call Step again by then
}

// Switchover is the state machine of one database's planned switchover, and of
// the wait for a new primary after an unplanned loss.
type Switchover struct {
	options SwitchoverOptions
	state   SwitchoverState
	began   time.Time // the whole
	entered time.Time // the state
	ordered bool      // to promote
	outcome SwitchoverOutcome
	paused  time.Duration // of writes, the last time
}

// NewSwitchover makes one that is serving.
func NewSwitchover(o SwitchoverOptions) *Switchover {
	set := func(d *time.Duration, value time.Duration) {
		if *d == 0 {
			*d = value
		}
	}
	set(&o.Grace, 3*time.Second)
	set(&o.Drain, time.Second)
	set(&o.Window, 10*time.Second)
	set(&o.Ramp, 20*time.Millisecond)
	if o.First == 0 {
		o.First = 8
	}
	return &Switchover{options: o}
}

// State is the present step.
func (s *Switchover) State() SwitchoverState { return s.state }

// Paused is how long writes were held the last time.
func (s *Switchover) Paused() time.Duration { return s.paused }

// Start begins a planned switchover; false if one is under way.
func (s *Switchover) Start(now time.Time) bool {
	if s.state != SwitchoverServing {
		return false
	}
	s.began, s.ordered, s.outcome = now, false, SwitchoverPending
	s.enter(now, SwitchoverHolding)
	return true
}

// Lost begins with the primary gone: all is held at once and nothing is ordered.
func (s *Switchover) Lost(now time.Time) {
	switch s.state {
	case SwitchoverServing, SwitchoverReleasing:
		s.began, s.outcome = now, SwitchoverPending
	case SwitchoverHolding, SwitchoverDraining, SwitchoverWaiting:
	}
	s.ordered = true
	s.enter(now, SwitchoverWaiting)
}

func (s *Switchover) enter(now time.Time, state SwitchoverState) {
	s.state, s.entered = state, now
}

// Step looks at the facts, moves on as far as they allow, and says what to do.
func (s *Switchover) Step(now time.Time, f SwitchoverFacts) SwitchoverOrders {
	if s.state == SwitchoverHolding && (f.Open == 0 || now.Sub(s.entered) >= s.options.Grace) {
		s.enter(now, SwitchoverDraining)
	}
	if s.state == SwitchoverDraining && (f.Open+f.Running == 0 || now.Sub(s.entered) >= s.options.Drain) {
		s.enter(now, SwitchoverWaiting)
	}
	if s.state != SwitchoverServing && s.state != SwitchoverReleasing {
		switch {
		case f.Promoted:
			s.release(now, SwitchoverDone)
		case now.Sub(s.began) >= s.options.Window && f.Same:
			s.release(now, SwitchoverGivenUp)
		case now.Sub(s.began) >= s.options.Window:
			s.release(now, SwitchoverNoPrimary)
		}
	}
	if s.state == SwitchoverReleasing && f.Held == 0 {
		s.enter(now, SwitchoverServing)
	}
	return s.orders(now, f)
}

func (s *Switchover) release(now time.Time, outcome SwitchoverOutcome) {
	s.outcome, s.paused = outcome, now.Sub(s.began)
	s.enter(now, SwitchoverReleasing)
}

// orders says what the present state asks for.
func (s *Switchover) orders(now time.Time, f SwitchoverFacts) SwitchoverOrders {
	o := SwitchoverOrders{State: s.state, Outcome: s.outcome}
	left := func(d time.Duration, since time.Time) time.Duration {
		return max(0, min(d-now.Sub(since), s.options.Window-now.Sub(s.began)))
	}
	switch s.state {
	case SwitchoverServing:
	case SwitchoverHolding:
		o.HoldTransactions = true
		o.Next = left(s.options.Grace, s.entered)
	case SwitchoverDraining:
		o.HoldTransactions, o.HoldSingles = true, true
		o.CancelOpen = f.Open > 0
		o.Next = left(s.options.Drain, s.entered)
	case SwitchoverWaiting:
		o.HoldTransactions, o.HoldSingles = true, true
		o.CancelOpen = f.Open > 0
		o.Promote, s.ordered = !s.ordered, true
		o.Next = left(s.options.Window, s.began)
	case SwitchoverReleasing:
		if s.outcome == SwitchoverNoPrimary {
			o.FailHeld = true
			o.Next = s.options.Ramp
			return o
		}
		doublings := min(int(now.Sub(s.entered)/s.options.Ramp), 16)
		o.Admit = s.options.First << doublings
		o.Next = s.options.Ramp
	}
	return o
}
