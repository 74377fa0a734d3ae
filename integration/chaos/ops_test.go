package chaos

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/penstock/penstock/internal/wire"
)

// batch plays a few random steps of a client.
func (p *player) batch(ctx context.Context) error {
	for range 1 + p.rng.IntN(4) {
		p.oneStep()
	}
	if p.rng.IntN(60) == 0 {
		p.note("abort")
		return p.abort()
	}
	if err := p.step(); err != nil {
		return err
	}
	if p.tx == 'I' {
		return p.rare(ctx)
	}
	if p.rng.IntN(4) == 0 {
		p.end()
	}
	return nil
}

// oneStep writes one step that needs no answer before it goes on.
func (p *player) oneStep() {
	switch n := p.rng.IntN(100); {
	case n < 22:
		p.note("simple")
		p.simple(p.someText(false))
	case n < 32:
		p.note("multi")
		p.multi()
	case n < 68:
		p.note("pipeline")
		p.pipeline()
	case n < 74:
		if p.tx == 'I' {
			p.note("begin")
			p.control("begin", p.rng.IntN(2) == 0)
		} else {
			p.end()
		}
	case n < 79:
		p.set()
	case n < 84:
		p.look()
	case n < 87:
		p.note("copy in")
		p.copyIn()
	case n < 90:
		p.note("copy out")
		p.copyOut()
	case n < 92:
		p.note("function")
		p.function()
	case n < 94:
		p.note("deallocate")
		p.dealloc()
	case n < 95:
		p.note("late copy data")
		p.late()
	case n < 96:
		p.note("large")
		p.largeOne()
	case n < 98:
		p.note("notice")
		v := p.value()
		p.send(qFrame(p.out, fmt.Sprintf("do $$begin raise notice '%s'; end$$", v)))
		p.unnamed = nil
		if p.tx == 'E' {
			p.fail("25P02")
		} else {
			delete(p.portals, "")
			p.expect(wire.NoticeResponse, v)
			p.expect(wire.CommandComplete, "DO")
		}
		p.ready()
	default:
		p.note("empty")
		p.simple()
	}
}

func (p *player) end() {
	sql := []string{"commit", "rollback"}[p.rng.IntN(2)]
	p.note("%s", sql)
	p.control(sql, p.rng.IntN(2) == 0)
}

// someText is a statement. Half of the texts are those of other clients too.
func (p *player) someText(extended bool) *text {
	own := func(v string) func(string) string { return func(string) string { return v } }
	n := p.rng.IntN(14)
	if extended && n < 6 {
		k := p.rng.IntN(12)
		if n < 2 {
			return &text{
				sql: fmt.Sprintf("select $1::text || ':' || g from generate_series(1,%d) g", 2+k%4), params: 1, rows: 2 + k%4,
				value: func(v string) string { return v },
			}
		}
		return &text{sql: fmt.Sprintf("select /* %d */ $1::text", k), params: 1, rows: 1, value: func(v string) string { return v }}
	}
	switch n {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		v := p.value()
		return &text{sql: "select '" + v + "'", rows: 1, value: own(v)}
	case 8:
		v := p.value()
		return &text{sql: fmt.Sprintf("select '%s:' || g from generate_series(1,3) g", v), rows: 3, value: own(v)}
	case 9:
		return &text{sql: "select 1/0", at: 'B', fails: "22012", rows: 1}
	case 10:
		return &text{sql: "select 1/(g-g) from generate_series(1,1) g", at: 'E', fails: "22012", rows: 1}
	case 11:
		return &text{sql: "selec 1", at: 'P', fails: "42601"}
	case 12:
		t := &text{sql: "insert into public.kv values ('" + p.owner + "')", tag: "INSERT 0 1", apply: func(v *vars) { v.rows++ }}
		return t
	default:
		name := p.owner + "n" + fmt.Sprint(p.seq)
		return &text{
			sql: fmt.Sprintf("set application_name to '%s'", name), tag: "SET",
			apply: func(v *vars) { v.app = name },
		}
	}
}

func (p *player) multi() {
	var texts []*text
	for range 2 + p.rng.IntN(3) {
		texts = append(texts, p.someText(false))
	}
	p.simple(texts...)
}

// name is one of few names, so that they are used again and clash.
func (p *player) name() string {
	if p.rng.IntN(3) == 0 {
		return ""
	}
	return fmt.Sprintf("n%d", p.rng.IntN(5))
}

// pipeline is messages of the extended protocol, up to Sync.
func (p *player) pipeline() {
	switch p.rng.IntN(3) {
	case 0: // what drivers do
		name := p.name()
		if name == "" || p.named[name] == nil || p.rng.IntN(10) == 0 {
			p.parse(name, p.someText(true))
		}
		if p.rng.IntN(2) == 0 {
			p.describe('S', name)
		}
		p.bind("", name, p.value())
		if p.rng.IntN(2) == 0 {
			p.describe('P', "")
		}
		p.execute("", 0)
	case 1: // with row limits
		p.parse("", p.someText(true))
		portal := []string{"", "p1", "p2"}[p.rng.IntN(3)]
		p.bind(portal, "", p.value())
		for range 1 + p.rng.IntN(4) {
			p.execute(portal, p.rng.IntN(3))
		}
		if p.rng.IntN(2) == 0 {
			p.close('P', portal)
		}
	default: // anything
		for range 1 + p.rng.IntN(9) {
			p.anything()
		}
	}
	p.sync()
}

func (p *player) anything() {
	portal := []string{"", "", "p1"}[p.rng.IntN(3)]
	switch p.rng.IntN(12) {
	case 0, 1, 2:
		p.parse(p.name(), p.someText(true))
	case 3, 4, 5:
		p.bind(portal, p.name(), p.value())
	case 6:
		p.describe('S', p.name())
	case 7:
		p.describe('P', portal)
	case 8, 9:
		p.execute(portal, p.rng.IntN(4))
	case 10:
		p.close("SP"[p.rng.IntN(2)], p.name())
	default:
		p.flush()
	}
}

func (p *player) set() {
	name := fmt.Sprintf("%sx%d", p.owner, p.rng.IntN(1000))
	path := fmt.Sprintf("p%d_%d_%d", p.id, p.life, p.rng.IntN(1000))
	switch n := p.rng.IntN(6); {
	case n == 0 && p.tx != 'I':
		p.note("set local application_name")
		p.command("set local application_name to '"+name+"'", "SET", func() { p.now.app = name })
	case n <= 2:
		p.note("set application_name")
		p.command("set application_name to '"+name+"'", "SET", func() { p.model.set(func(v *vars) { v.app = name }) })
	case n == 3 && p.startup.app == "":
		p.note("reset application_name")
		p.command("reset application_name", "RESET", func() { p.model.set(func(v *vars) { v.app = p.startup.app }) })
	default:
		p.note("set search_path")
		p.command("set search_path to "+path, "SET", func() { p.model.set(func(v *vars) { v.path = path }) })
	}
}

// look asks for what others must not have changed.
func (p *player) look() {
	p.note("look")
	p.simple(&text{
		sql:  fmt.Sprintf("select '%s:' || current_setting('application_name') || ';' || current_setting('search_path')", p.owner),
		rows: 1, value: func(string) string { return fmt.Sprintf("%s:%s;%s", p.owner, p.now.app, p.now.path) },
	}, &text{
		sql:  fmt.Sprintf("select '%s:' || count(*) from public.kv where owner = '%[1]s'", p.owner),
		rows: 1, value: func(string) string { return fmt.Sprintf("%s:%d", p.owner, p.now.rows) },
	})
}

// copyIn copies a few lines in without waiting for the server's word.
func (p *player) copyIn() {
	n, fails := 1+p.rng.IntN(4), ""
	switch p.rng.IntN(5) {
	case 0:
		fails = "22P04"
	case 1:
		fails = "57014"
	}
	extended := p.rng.IntN(3) == 0
	const sql = "copy public.kv from stdin"
	refused := p.tx == 'E'
	if extended {
		p.send(pFrame(p.out, "", sql))
		p.send(bFrame(p.out, "", ""))
		p.send(eFrame(p.out, "", 0))
		p.unnamed = nil
		if refused {
			p.fail("25P02")
		} else {
			p.unnamed = &text{sql: sql}
			p.portals[""] = &portal{text: p.unnamed, done: true}
			p.expect(wire.ParseComplete, "")
			p.expect(wire.BindComplete, "")
		}
	} else {
		p.send(qFrame(p.out, sql))
		p.unnamed = nil
		if refused {
			p.fail("25P02")
			p.ready()
		}
	}
	if !refused {
		if !extended {
			delete(p.portals, "")
		}
		p.expect(wire.CopyInResponse, "")
	}
	for range n {
		p.send(copyFrame(p.out, p.owner+"\n"))
	}
	if fails == "22P04" {
		p.send(copyFrame(p.out, "one\tmore\n"))
		for range p.rng.IntN(3) {
			p.send(copyFrame(p.out, p.owner+"\n"))
		}
	}
	if fails == "57014" {
		p.send(wire.AppendString(p.out, wire.CopyFail, "no more"))
	} else {
		p.send(empty(p.out, wire.CopyDone))
	}
	switch {
	case refused:
	case fails != "" && !extended:
		p.failRunning(fails, &text{sql: sql})
	case fails != "":
		p.fail(fails)
	default:
		p.model.set(func(v *vars) { v.rows += n })
		p.expect(wire.CommandComplete, fmt.Sprintf("COPY %d", n))
	}
	if extended {
		p.send(empty(p.out, wire.Sync))
	}
	if extended || !refused {
		p.ready()
	}
	if extended {
		p.close('S', "")
		p.sync()
	}
}

func (p *player) copyOut() {
	v, n := p.value(), p.rng.IntN(6)
	p.send(qFrame(p.out, fmt.Sprintf("copy (select '%s:' || g from generate_series(1,%d) g) to stdout", v, n)))
	p.unnamed = nil
	if p.tx == 'E' {
		p.fail("25P02")
	} else {
		delete(p.portals, "")
		p.expect(wire.CopyOutResponse, "")
		for i := range n {
			p.expect(wire.CopyData, fmt.Sprintf("%s:%d\n", v, i+1))
		}
		p.expect(wire.CopyDone, "")
		p.expect(wire.CommandComplete, fmt.Sprintf("COPY %d", n))
	}
	p.ready()
}

// trim is the function btrim(text) in pg_proc.
const trim = 885

func (p *player) function() {
	v := p.value()
	p.send(functionFrame(p.out, trim, v))
	if p.tx == 'E' {
		p.fail("25P02")
	} else {
		p.expect(wire.FunctionCallResponse, v)
	}
	p.ready()
}

func (p *player) dealloc() {
	if p.rng.IntN(3) == 0 {
		p.deallocateAll()
		return
	}
	p.deallocate(fmt.Sprintf("n%d", p.rng.IntN(5)))
}

// late is the rest of a COPY that is no more.
func (p *player) late() {
	for range 1 + p.rng.IntN(3) {
		p.send(copyFrame(p.out, p.owner+"\n"))
	}
	if p.rng.IntN(2) == 0 {
		p.send(empty(p.out, wire.CopyDone))
	}
}

// largeOne is a message larger than any buffer, one way or the other.
func (p *player) largeOne() {
	v := p.value()
	n := 2000 + p.rng.IntN(8000)
	long := v + ":" + strings.Repeat(v, n)
	same := func(string) string { return long }
	switch p.rng.IntN(4) {
	case 0:
		p.simple(&text{sql: fmt.Sprintf("select '%s:' || repeat('%[1]s', %d)", v, n), rows: 1, value: same})
	case 1:
		p.simple(&text{sql: "select '" + long + "'", rows: 1, value: same})
	case 2:
		p.parse("", &text{sql: "select '" + long + "'", rows: 1, value: same})
		p.bind("", "", "")
		p.execute("", 0)
		p.sync()
	default:
		p.parse("", &text{sql: "select $1::text", params: 1, rows: 1, value: func(v string) string { return v }})
		p.bind("", "", long)
		p.execute("", 0)
		p.sync()
	}
}

// rare are steps that are played alone, outside of a transaction.
func (p *player) rare(ctx context.Context) error {
	switch n := p.rng.IntN(240); {
	case n < 3:
		return p.canceled(ctx)
	case n < 4:
		return p.forgedCancel(ctx)
	case n < 6:
		return p.copyInSlowly()
	case n < 8:
		return p.flushAndWait()
	case n < 9:
		return p.listen()
	case n < 10:
		return p.sqlPrepare()
	case n < 11:
		p.note("discard all")
		p.discardAll()
		return p.step()
	case n < 12:
		return p.illegal()
	case n < 20:
		time.Sleep(time.Duration(p.rng.IntN(2000)) * time.Microsecond)
	}
	return nil
}

// canceled asks for the cancel of a query that runs, waits, or is over.
func (p *player) canceled(ctx context.Context) error {
	p.note("cancel")
	v := p.value()
	sleep := []float64{0, 0.001, 0.05}[p.rng.IntN(3)]
	t := &text{sql: fmt.Sprintf("select '%s' from pg_sleep(%g)", v, sleep), rows: 1, value: func(string) string { return v }}
	if p.rng.IntN(2) == 0 {
		p.parse("", t)
		p.bind("", "", "")
		p.describe('P', "")
		p.execute("", 0)
		p.sync()
	} else {
		p.simple(t)
	}
	if err := p.deliver(); err != nil {
		return err
	}
	time.Sleep(time.Duration(p.rng.IntN(8000)) * time.Microsecond)
	p.cancel = true
	if err := p.requestCancel(ctx, p.key); err != nil {
		return err
	}
	err := p.read()
	p.cancel = false
	if err != nil {
		return err
	}
	// Whether there is an unnamed statement nobody knows: a Query drops it.
	p.simple(p.someText(false))
	return p.step()
}

// forgedCancel asks with a wrong key, which must change nothing.
func (p *player) forgedCancel(ctx context.Context) error {
	p.note("forged cancel")
	v := p.value()
	p.simple(&text{sql: fmt.Sprintf("select '%s' from pg_sleep(0.002)", v), rows: 1, value: func(string) string { return v }})
	if err := p.deliver(); err != nil {
		return err
	}
	key := append([]byte(nil), p.key...)
	key[p.rng.IntN(len(key))] ^= 1 << p.rng.IntN(8)
	if err := p.requestCancel(ctx, key); err != nil {
		return err
	}
	return p.read()
}

// copyInSlowly waits for CopyInResponse as drivers do, and sends on after a
// failure.
func (p *player) copyInSlowly() error {
	p.note("copy in, slowly")
	p.send(qFrame(p.out, "copy public.kv from stdin"))
	p.unnamed = nil
	p.expect(wire.CopyInResponse, "")
	if err := p.step(); err != nil {
		return err
	}
	if p.rng.IntN(8) == 0 {
		p.note("abandoned")
		p.send(copyFrame(p.out, p.owner+"\n"))
		return p.abort()
	}
	bad := p.rng.IntN(2) == 0
	line := p.owner + "\n"
	if bad {
		line = "one\tmore\n"
	}
	p.send(copyFrame(p.out, line))
	if bad {
		p.fail("22P04")
		p.ready()
		if p.rng.IntN(2) == 0 {
			if err := p.step(); err != nil {
				return err
			}
		}
		p.send(copyFrame(p.out, line))
		p.send(empty(p.out, wire.CopyDone))
		p.simple(p.someText(false))
		return p.step()
	}
	p.send(empty(p.out, wire.CopyDone))
	p.model.set(func(v *vars) { v.rows++ })
	p.expect(wire.CommandComplete, "COPY 1")
	p.ready()
	return p.step()
}

// flushAndWait reads the answers in the middle of a pipeline.
func (p *player) flushAndWait() error {
	p.note("flush and wait")
	p.parse("", &text{sql: "select $1::text", params: 1, rows: 1, value: func(v string) string { return v }})
	p.bind("", "", p.value())
	p.flush()
	if err := p.step(); err != nil {
		return err
	}
	if p.rng.IntN(10) == 0 {
		p.note("abort before Sync")
		return p.abort()
	}
	p.execute("", 0)
	p.flush()
	if err := p.step(); err != nil {
		return err
	}
	p.sync()
	return p.step()
}

// listen pins the session for a while.
func (p *player) listen() error {
	p.note("listen")
	channel := fmt.Sprintf("ch_%d_%d", p.id, p.life)
	p.command("listen "+channel, "LISTEN", func() {})
	if err := p.step(); err != nil {
		return err
	}
	v := p.value()
	p.send(qFrame(p.out, fmt.Sprintf("notify %s, '%s'", channel, v)))
	p.expect(wire.CommandComplete, "NOTIFY")
	p.expect(wire.NotificationResponse, v)
	p.ready()
	p.discardAll()
	return p.step()
}

// sqlPrepare pins the session for a while.
func (p *player) sqlPrepare() error {
	p.note("prepare")
	v := p.value()
	p.command("prepare sqlp as select '"+v+"'", "PREPARE", func() {})
	if err := p.step(); err != nil {
		return err
	}
	p.simple(&text{sql: "execute sqlp", rows: 1, value: func(string) string { return v }})
	p.discardAll()
	return p.step()
}

// illegal ends the session with a frame that PostgreSQL refuses.
func (p *player) illegal() error {
	p.note("illegal")
	v := p.value()
	p.simple(&text{sql: "select '" + v + "'", rows: 1, value: func(string) string { return v }})
	bad := [][]byte{
		{'~', 0, 0, 0, 4},
		{'Q', 0, 0, 0, 3},
		{'S', 0xff, 0xff, 0xff, 0xff},
		{'D', 0, 1, 0, 0},
	}[p.rng.IntN(4)]
	if err := p.step(); err != nil {
		return err
	}
	p.out = append(p.out, bad...)
	if err := p.deliver(); err != nil {
		return err
	}
	msg, err := p.in.next(hangTime)
	if err == nil {
		if msg.typ != wire.ErrorResponse || msg.text() != "FATAL 08P01" && !p.accept(msg) {
			return fmt.Errorf("a bad frame is answered with %v", msg)
		}
		msg, err = p.in.next(hangTime)
	} else if bad[0] == '~' && !isTimeout(err) { // a wrong length PostgreSQL does not answer
		return p.broken(err)
	}
	if err == nil {
		return fmt.Errorf("after FATAL: %v", msg)
	}
	if isTimeout(err) {
		return fmt.Errorf("HANG: the connection stays open after FATAL: %w", err)
	}
	return errOver
}
