package chaos

import (
	"fmt"
	"strings"

	"github.com/penstock/penstock/internal/wire"
)

// want is a message that a client must receive.
type want struct {
	typ  byte
	text string
}

func (w want) String() string {
	return message{w.typ, nil}.String()[:1] + fmt.Sprintf(" %.200q", w.text)
}

// model is what PostgreSQL would know of one client. It predicts the answer to
// everything that the client sends, in its methods' order.
type model struct {
	owner   string // the beginning of every value that this client may see
	tx      byte   // I, T or E
	skip    bool   // an error in the extended protocol: discard until Sync
	named   map[string]*text
	unnamed *text
	portals map[string]*portal
	now     vars // as they are
	kept    vars // as they are after COMMIT, without SET LOCAL
	begin   vars // as they are after ROLLBACK
	startup vars // as they are after DISCARD ALL
	out     []byte
	wants   []want
	sent    int // messages
}

// vars is what a transaction may change.
type vars struct {
	app, path string
	rows      int
}

// text is a statement's text and what it does.
type text struct {
	sql    string
	fails  string // SQLSTATE
	at     byte   // P, B or E: which message fails
	params int
	rows   int                   // of a SELECT; else a command
	value  func(p string) string // of a row, before ":" and its number if there are several
	tag    string                // of a command
	apply  func(v *vars)         // of a command
}

// portal is what Bind makes.
type portal struct {
	text  *text
	param string
	next  int
	done  bool
	dead  bool // its Query has failed
}

func newModel(owner string) model {
	m := model{owner: owner, tx: 'I', named: map[string]*text{}, portals: map[string]*portal{}}
	m.startup = vars{path: `"$user", public`}
	return m
}

func (m *model) expect(typ byte, text string) { m.wants = append(m.wants, want{typ, text}) }

func (m *model) send(frame []byte) {
	m.out = frame
	m.sent++
}

// fail is an error in what runs.
func (m *model) fail(code string) {
	m.expect(wire.ErrorResponse, code)
	if m.tx == 'T' {
		m.tx = 'E'
	}
	if m.tx == 'I' {
		m.now, m.kept = m.begin, m.begin
	}
}

// failRunning is an error in what a Query runs, in the unnamed portal.
func (m *model) failRunning(code string, t *text) {
	m.portals[""] = &portal{text: t, done: true, dead: true}
	m.fail(code)
}

// deadly says whether PostgreSQL 15 crashes on the use of a portal: that of a
// failed Query, whose memory is gone while the transaction is still open.
func (m *model) deadly(name string) bool {
	p := m.portals[name]
	return p != nil && p.dead && m.tx == 'E' && !m.skip
}

// failExtended is one that discards until Sync.
func (m *model) failExtended(code string) {
	m.fail(code)
	m.skip = true
}

// ready ends a cycle.
func (m *model) ready() {
	if m.tx == 'I' {
		m.kept.rows = m.now.rows
		m.now = m.kept
		m.begin = m.kept
		m.portals = map[string]*portal{}
	}
	m.expect(wire.ReadyForQuery, string(m.tx))
}

func (m *model) set(f func(v *vars)) {
	f(&m.now)
	f(&m.kept)
}

// simple is a Query of several statements, or none.
func (m *model) simple(texts ...*text) {
	var sql []string
	broken := false
	for _, t := range texts {
		sql = append(sql, t.sql)
		broken = broken || t.at == 'P'
	}
	m.send(qFrame(m.out, strings.Join(sql, "; ")))
	m.unnamed = nil
	switch {
	case broken:
		m.fail("42601")
	case len(texts) == 0:
		m.expect(wire.EmptyQueryResponse, "")
	default:
		for _, t := range texts {
			if !m.runSimple(t) {
				break
			}
		}
	}
	m.ready()
}

func (m *model) runSimple(t *text) bool {
	switch {
	case m.tx == 'E':
		m.fail("25P02")
		return false
	case t.at == 'B':
		m.fail(t.fails)
		return false
	case t.at == 'E':
		m.expect(wire.RowDescription, "")
		m.failRunning(t.fails, t)
		return false
	case t.rows == 0:
		delete(m.portals, "")
		m.set(t.apply)
		m.expect(wire.CommandComplete, t.tag)
		return true
	}
	delete(m.portals, "") // a Query runs in it
	m.expect(wire.RowDescription, "")
	for i := range t.rows {
		m.expect(wire.DataRow, t.row("", i))
	}
	m.expect(wire.CommandComplete, fmt.Sprintf("SELECT %d", t.rows))
	return true
}

func (t *text) row(param string, i int) string {
	if t.rows == 1 {
		return t.value(param)
	}
	return fmt.Sprintf("%s:%d", t.value(param), i+1)
}

// begin, commit and rollback are cycles of their own; control sends one as a
// Query or in the extended protocol.
func (m *model) control(sql string, extended bool) {
	if extended {
		m.send(pFrame(m.out, "", sql))
		m.send(bFrame(m.out, "", ""))
		m.send(eFrame(m.out, "", 0))
		m.send(cFrame(m.out, 'S', ""))
		m.send(empty(m.out, wire.Sync))
		m.expect(wire.ParseComplete, "")
		m.expect(wire.BindComplete, "")
		m.portals[""] = &portal{text: &text{sql: sql}, done: true}
	} else {
		m.send(qFrame(m.out, sql))
		m.unnamed = nil
		delete(m.portals, "")
	}
	tag := strings.ToUpper(sql)
	switch {
	case sql == "begin":
		m.tx = 'T'
	case m.tx == 'I':
		m.expect(wire.NoticeResponse, "there is no transaction in progress")
	case m.tx == 'E' || sql == "rollback":
		tag = "ROLLBACK"
		m.kept, m.now = m.begin, m.begin
		m.tx = 'I'
	default:
		m.tx = 'I'
	}
	m.expect(wire.CommandComplete, tag)
	if extended {
		m.expect(wire.CloseComplete, "")
	}
	m.unnamed = nil
	m.ready()
}

// command is a Query with one utility command that has no text of its own.
func (m *model) command(sql, tag string, apply func()) {
	m.send(qFrame(m.out, sql))
	m.unnamed = nil
	if m.tx == 'E' {
		m.fail("25P02")
	} else {
		delete(m.portals, "")
		apply()
		m.expect(wire.CommandComplete, tag)
	}
	m.ready()
}

func (m *model) deallocateAll() {
	m.command("deallocate all", "DEALLOCATE ALL", func() { m.named = map[string]*text{} })
}

func (m *model) deallocate(name string) {
	if m.tx != 'E' && m.named[name] == nil {
		m.send(qFrame(m.out, "deallocate "+name))
		m.unnamed = nil
		m.failRunning("26000", &text{sql: "deallocate"})
		m.ready()
		return
	}
	m.command("deallocate "+name, "DEALLOCATE", func() { delete(m.named, name) })
}

// discardAll runs outside of a transaction only.
func (m *model) discardAll() {
	m.command("discard all", "DISCARD ALL", func() {
		m.named = map[string]*text{}
		m.set(func(v *vars) { v.app, v.path = m.startup.app, m.startup.path })
	})
}

// The extended protocol.

func (m *model) parse(name string, t *text) {
	m.send(pFrame(m.out, name, t.sql))
	if m.skip {
		return
	}
	if name == "" {
		m.unnamed = nil
	}
	switch {
	case t.at == 'P':
		m.failExtended(t.fails)
	case m.tx == 'E' && t.sql != "":
		m.failExtended("25P02")
	case name != "" && m.named[name] != nil:
		m.failExtended("42P05")
	default:
		if name == "" {
			m.unnamed = t
		} else {
			m.named[name] = t
		}
		m.expect(wire.ParseComplete, "")
	}
}

func (m *model) lookup(name string) *text {
	if name == "" {
		return m.unnamed
	}
	return m.named[name]
}

func (m *model) bind(portalName, name, param string) {
	t := m.lookup(name)
	var params []string
	if t != nil && t.params == 1 {
		params = []string{param}
	}
	m.send(bFrame(m.out, portalName, name, params...))
	if m.skip {
		return
	}
	switch {
	case t == nil:
		m.failExtended("26000")
	case m.tx == 'E' && t.sql != "":
		m.failExtended("25P02")
	case portalName != "" && m.portals[portalName] != nil:
		m.failExtended("42P03")
	case t.at == 'B':
		m.portals[portalName] = &portal{text: &text{}} // made, but not defined
		m.failExtended(t.fails)
	default:
		m.portals[portalName] = &portal{text: t, param: param}
		m.expect(wire.BindComplete, "")
	}
}

func (m *model) describe(kind byte, name string) {
	if kind == 'P' && m.deadly(name) {
		return
	}
	if t := m.lookup(name); kind == 'S' && m.tx == 'E' && !m.skip && t != nil && t.rows == 0 {
		return // where it is not prepared yet Penstock cannot prepare it: 25P02
	}
	m.send(dFrame(m.out, kind, name))
	if m.skip {
		return
	}
	var t *text
	if kind == 'S' {
		if t = m.lookup(name); t == nil {
			m.failExtended("26000")
			return
		}
	} else {
		p := m.portals[name]
		if p == nil {
			m.failExtended("34000")
			return
		}
		t = p.text
	}
	if m.tx == 'E' && t.rows > 0 {
		m.failExtended("25P02")
		return
	}
	if kind == 'S' {
		m.expect(wire.ParameterDescription, "")
	}
	if t.rows > 0 {
		m.expect(wire.RowDescription, "")
	} else {
		m.expect(wire.NoData, "")
	}
}

func (m *model) execute(name string, limit int) {
	if m.deadly(name) {
		return
	}
	m.send(eFrame(m.out, name, limit))
	if m.skip {
		return
	}
	p := m.portals[name]
	if p == nil {
		m.failExtended("34000")
		return
	}
	t := p.text
	switch {
	case t.sql == "":
		m.expect(wire.EmptyQueryResponse, "")
	case m.tx == 'E':
		m.failExtended("25P02")
	case t.at == 'E':
		m.failExtended(t.fails)
	case t.rows == 0 && p.done:
		m.failExtended("55000")
	case t.rows == 0:
		p.done = true
		m.set(t.apply)
		m.expect(wire.CommandComplete, t.tag)
	default:
		m.fetch(p, limit)
	}
}

// fetch is what an Execute of a SELECT brings.
func (m *model) fetch(p *portal, limit int) {
	n := 0
	for ; p.next < p.text.rows && (limit == 0 || n < limit); p.next++ {
		m.expect(wire.DataRow, p.text.row(p.param, p.next))
		n++
	}
	if limit > 0 && n == limit {
		m.expect(wire.PortalSuspended, "")
		return
	}
	m.expect(wire.CommandComplete, fmt.Sprintf("SELECT %d", n))
}

func (m *model) close(kind byte, name string) {
	m.send(cFrame(m.out, kind, name))
	if m.skip {
		return
	}
	switch {
	case kind == 'P':
		delete(m.portals, name)
	case name == "":
		m.unnamed = nil
	default:
		delete(m.named, name)
	}
	m.expect(wire.CloseComplete, "")
}

func (m *model) flush() { m.send(empty(m.out, wire.Flush)) }

func (m *model) sync() {
	m.send(empty(m.out, wire.Sync))
	m.skip = false
	m.ready()
}
