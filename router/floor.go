package router

// Floor is how far a replica must have replayed to serve a session: past what the
// session wrote, and past what it has read. The zero Floor asks for nothing.
type Floor struct {
	dirty uint64 // the number of the last commit without a position yet
	at    Position
}

// FloorState says what a session's floor is worth now.
type FloorState uint8

// The states of a floor.
const (
	FloorNone    FloorState = iota // any replica will do
	FloorKnown                     // a replica at the position will do
	FloorUnknown                   // only the primary will do, until the probe is answered
)

// Committed notes a commit of the session by its number.
func (f *Floor) Committed(number uint64) { f.dirty = max(f.dirty, number) }

// Read notes where a server was when it had answered a read of the session, so
// that the next read is not sent back in time. A server that was read on a
// timeline that is not the floor's replaces it.
func (f *Floor) Read(at Position) {
	if !at.IsZero() {
		f.at = f.at.Later(at)
	}
}

// Raise takes a floor from elsewhere, as from SET penstock.min_lsn.
func (f *Floor) Raise(at Position) { f.Read(at) }

// Resolve returns the position to ask of a replica. After a change of timeline
// an old position means nothing: the session counts as one that has just written,
// until a probe of the new primary was answered.
func (f *Floor) Resolve(p *Prober) (Position, FloorState) {
	if f.dirty != 0 {
		at, ok := p.Floor(f.dirty)
		if !ok {
			return Position{}, FloorUnknown
		}
		f.dirty = 0
		f.at = f.at.Later(at)
	}
	if f.at.IsZero() {
		return Position{}, FloorNone
	}
	if primary, _ := p.Primary(); !primary.Comparable(f.at) {
		f.at = Position{}
		f.dirty = p.NoteCommit()
		return Position{}, FloorUnknown
	}
	return f.at, FloorKnown
}

// Dirty says whether the session waits for a probe.
func (f *Floor) Dirty() bool { return f.dirty != 0 }

// Peek returns the position so far, for the console.
func (f *Floor) Peek() Position { return f.at }
