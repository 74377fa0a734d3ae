package router

import "time"

// Observation is what a host said about itself, or that it said nothing.
type Observation struct {
	Host       int
	OK         bool // it answered, lately enough for the caller
	System     uint64
	Timeline   uint32 // of a standby: that it receives, not that of its last checkpoint
	InRecovery bool
	LSN        LSN // insert position of a primary, replay position of a standby
	At         time.Time
}

// Alarm says what is wrong with the roles of the hosts.
type Alarm uint8

// The alarms.
const (
	AlarmNone       Alarm = iota
	AlarmNoPrimary        // no host may take writes
	AlarmSplitBrain       // two may, and nothing tells which
	AlarmStale            // one would, of a timeline that was left behind
	AlarmForeign          // a host belongs to another cluster
	AlarmLostWAL          // the new primary lacks what the old one acknowledged
)

// String returns the alarm as the console shows it.
func (a Alarm) String() string {
	switch a {
	case AlarmNone:
		return "none"
	case AlarmNoPrimary:
		return "no-primary"
	case AlarmSplitBrain:
		return "split-brain"
	case AlarmStale:
		return "stale-primary"
	case AlarmForeign:
		return "foreign-system"
	case AlarmLostWAL:
		return "lost-wal"
	default:
		return "invalid"
	}
}

// Ruling is who may do what.
type Ruling struct {
	Primary  int // -1: none; writes are held
	Alarm    Alarm
	Position Position // of the primary
	Replicas uint64   // bit set of hosts that follow the same system
	Fenced   uint64   // bit set of hosts that must get nothing: stale or foreign
	LostWAL  uint64   // bytes that were acknowledged and are not there
	Changed  bool     // another primary, or another timeline, than before
}

// Roles remembers what must not be forgotten from one ruling to the next: the
// system, the highest timeline ever seen, and what was acknowledged on it.
type Roles struct {
	system       uint64
	timeline     uint32 // none lower is ever written again
	primary      int
	ruled        uint32   // the timeline of the last primary
	acknowledged Position // the highest floor handed out
}

// NewRoles starts without knowledge; system 0 means that the first ruling takes
// that of the majority.
func NewRoles(system uint64) *Roles { return &Roles{system: system, primary: -1} }

// Acknowledged notes a position that a client was told is durable. A new primary
// is measured against it.
func (r *Roles) Acknowledged(at Position) {
	if at.System == r.system && (at.Timeline > r.acknowledged.Timeline ||
		at.Timeline == r.acknowledged.Timeline && at.LSN > r.acknowledged.LSN) {
		r.acknowledged = at
	}
}

// Rule decides the roles of the hosts, which are all there are: below 64.
func (r *Roles) Rule(hosts []Observation) Ruling {
	if r.system == 0 {
		r.system = majority(hosts)
	}
	ruling := Ruling{Primary: -1}
	for i := range hosts {
		if o := &hosts[i]; o.OK && o.System == r.system {
			r.timeline = max(r.timeline, o.Timeline)
		}
	}
	candidates, able := 0, uint64(0)
	var chosen *Observation
	for i := range hosts {
		o := &hosts[i]
		switch {
		case !o.OK:
		case o.System != r.system:
			ruling.Fenced |= 1 << o.Host
			ruling.Alarm = max(ruling.Alarm, AlarmForeign)
		case o.InRecovery:
			ruling.Replicas |= 1 << o.Host
		case o.Timeline < r.timeline:
			ruling.Fenced |= 1 << o.Host
			ruling.Alarm = max(ruling.Alarm, AlarmStale)
		default:
			candidates++
			able |= 1 << o.Host
			chosen = o
		}
	}
	switch {
	case candidates == 0:
		if ruling.Alarm == AlarmNone {
			ruling.Alarm = AlarmNoPrimary
		}
	case candidates > 1:
		ruling.Alarm = AlarmSplitBrain
		ruling.Fenced |= able
	default:
		r.accept(chosen, &ruling)
	}
	return ruling
}

// accept makes a host the primary of a ruling.
func (r *Roles) accept(o *Observation, ruling *Ruling) {
	ruling.Primary = o.Host
	ruling.Position = Position{System: o.System, Timeline: o.Timeline, LSN: o.LSN}
	ruling.Changed = r.primary != o.Host || r.ruled != o.Timeline
	if ruling.Changed && r.acknowledged.System == o.System && r.acknowledged.Timeline < o.Timeline {
		if lost := o.LSN.Behind(r.acknowledged.LSN); lost > 0 {
			ruling.LostWAL, ruling.Alarm = lost, AlarmLostWAL
		}
		// What comes from now on is compared on the new timeline.
		r.acknowledged = Position{System: o.System, Timeline: o.Timeline}
	}
	r.primary, r.ruled = o.Host, o.Timeline
}

// majority returns the system of most hosts that answered; of the first of them
// in a tie.
func majority(hosts []Observation) uint64 {
	var system uint64
	most := 0
	for i := range hosts {
		if !hosts[i].OK {
			continue
		}
		n := 0
		for j := range hosts {
			if hosts[j].OK && hosts[j].System == hosts[i].System {
				n++
			}
		}
		if n > most {
			system, most = hosts[i].System, n
		}
	}
	return system
}
