package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"time"

	"github.com/penstock/penstock/internal/wire"
)

// stage is what the players of a cross-talk test share.
type stage struct {
	addr      string
	name      string // the beginning of all owners
	seed      uint64
	kills     atomic.Int64 // server connections killed
	lost      atomic.Int64 // players who were told so
	cancels   atomic.Int64
	canceled  atomic.Int64
	aborts    atomic.Int64
	lives     atomic.Int64
	messages  atomic.Int64 // both ways
	target    int64
	parameter bool // start some sessions with parameters
}

func (s *stage) over() bool { return s.messages.Load() >= s.target }

// player is one client of a cross-talk test. It lives many lives, each a
// session; every value that it may see begins with the name of its life.
type player struct {
	model
	stage  *stage
	rng    *rand.Rand
	id     int
	life   int
	seq    int
	conn   net.Conn
	in     *reader
	pid    uint32
	key    []byte
	app    string // as reported
	cancel bool   // 57014 may come
	ops    []string
}

// errLost says that a server kill ended what the player did.
var errLost = errors.New("server connection lost")

// errOver ends a life.
var errOver = errors.New("life is over")

func newPlayer(s *stage, id int) *player {
	return &player{stage: s, id: id, rng: rand.New(rand.NewPCG(s.seed, uint64(id)))}
}

// play lives until the stage is over or an answer is wrong.
func (p *player) play(ctx context.Context) error {
	for !p.stage.over() && ctx.Err() == nil {
		p.life++
		p.stage.lives.Add(1)
		if err := p.live(ctx); err != nil {
			return fmt.Errorf("client %d, life %d, seed %d: %w\nlast steps: %s", p.id, p.life, p.stage.seed, err,
				strings.Join(p.ops[max(0, len(p.ops)-24):], " | "))
		}
	}
	return nil
}

func (p *player) live(ctx context.Context) error {
	err := p.login(ctx)
	for err == nil && !p.stage.over() && ctx.Err() == nil {
		err = p.batch(ctx)
	}
	if p.conn != nil {
		p.stage.messages.Add(int64(p.in.n))
		defer p.conn.Close()
	}
	switch {
	case errors.Is(err, errOver):
		return nil
	case errors.Is(err, errLost):
		return p.survive()
	case err != nil:
		return err
	}
	_, _ = p.conn.Write(empty(nil, wire.Terminate))
	return nil
}

// login begins a life. Its ParameterStatus must be what it asked for.
func (p *player) login(ctx context.Context) error {
	p.model = newModel(fmt.Sprintf("%s%d.%d", p.stage.name, p.id, p.life))
	p.cancel, p.ops, p.seq, p.app = false, nil, 0, ""
	var err error
	if p.conn, err = open(ctx, p.stage.addr); err != nil {
		return err
	}
	p.in = newReader(p.conn)
	params := []string{"user", "postgres", "database", "postgres"}
	if p.rng.IntN(2) == 0 {
		p.startup.app = p.owner
		params = append(params, "application_name", p.startup.app)
	}
	if p.stage.parameter && p.rng.IntN(8) == 0 {
		p.startup.path = fmt.Sprintf("s%d", p.id)
		params = append(params, "options", "-c search_path="+p.startup.path)
	}
	p.now, p.kept, p.begin = p.startup, p.startup, p.startup
	if _, err := p.conn.Write(startupFrame(params...)); err != nil {
		return p.broken(err)
	}
	for {
		msg, err := p.in.next(hangTime)
		if err != nil {
			return p.broken(err)
		}
		switch msg.typ {
		case wire.Authentication:
		case wire.ParameterStatus:
			if err := p.reported(msg); err != nil {
				return err
			}
		case wire.BackendKeyData:
			p.pid = uint32(msg.body[0])<<24 | uint32(msg.body[1])<<16 | uint32(msg.body[2])<<8 | uint32(msg.body[3])
			p.key = append([]byte(nil), msg.body[4:]...)
		case wire.ReadyForQuery:
			return p.checkReported()
		case wire.ErrorResponse:
			if p.accept(msg) {
				return errOver
			}
			return fmt.Errorf("login: %v", msg)
		default:
			return fmt.Errorf("login: unexpected %v", msg)
		}
	}
}

// reported notes a ParameterStatus: no other client's name may be in it.
func (p *player) reported(msg message) error {
	name, v, _ := strings.Cut(msg.text(), "=")
	if name != "application_name" {
		return nil
	}
	if v != "" && !strings.HasPrefix(v, p.owner) {
		return fmt.Errorf("FOREIGN: ParameterStatus application_name=%q for %s", v, p.owner)
	}
	p.app = v
	return nil
}

func (p *player) checkReported() error {
	if p.app != p.now.app {
		return fmt.Errorf("application_name was reported as %q, it is %q", p.app, p.now.app)
	}
	return nil
}

// next is a value that nobody else has.
func (p *player) value() string {
	p.seq++
	return fmt.Sprintf("%s:%d", p.owner, p.seq)
}

func (p *player) note(format string, args ...any) {
	p.ops = append(p.ops, fmt.Sprintf(format, args...))
}

// deliver sends what the model has written, in pieces or at once.
func (p *player) deliver() error {
	p.note("{%s}", frames(p.out))
	out := p.out
	pieces := 1
	if p.rng.IntN(6) == 0 {
		pieces = 2 + p.rng.IntN(3)
	}
	for ; pieces > 1 && len(out) > 1; pieces-- {
		n := 1 + p.rng.IntN(len(out)-1)
		if _, err := p.conn.Write(out[:n]); err != nil {
			return p.broken(err)
		}
		out = out[n:]
		if p.rng.IntN(2) == 0 {
			time.Sleep(time.Duration(p.rng.IntN(300)) * time.Microsecond)
		}
	}
	if _, err := p.conn.Write(out); err != nil {
		return p.broken(err)
	}
	p.stage.messages.Add(int64(p.sent))
	p.out, p.sent = p.out[:0], 0
	return nil
}

// frames tells what a client sends, for a report.
func frames(out []byte) string {
	var b strings.Builder
	for len(out) > 5 || len(out) == 5 {
		h, _ := wire.ParseHeader(out)
		n := min(max(h.Total(), 5), len(out))
		if body := out[5:n]; len(body) > 0 {
			fmt.Fprintf(&b, "%c%.60q ", out[0], body)
		} else {
			fmt.Fprintf(&b, "%c ", out[0])
		}
		out = out[n:]
	}
	return b.String()
}

// step sends everything and reads every answer.
func (p *player) step() error {
	if err := p.deliver(); err != nil {
		return err
	}
	return p.read()
}

// read reads every answer that is due and compares.
func (p *player) read() error {
	for len(p.wants) > 0 {
		msg, err := p.in.next(hangTime)
		if err != nil {
			return p.broken(err)
		}
		w := p.wants[0]
		switch {
		case msg.typ == wire.ParameterStatus:
			if err := p.reported(msg); err != nil {
				return err
			}
			continue
		case msg.typ == w.typ && msg.text() == w.text:
			p.wants = p.wants[1:]
			continue
		case msg.typ == wire.ErrorResponse && p.cancel && msg.text() == "57014":
			p.stage.canceled.Add(1)
			p.dropCycle()
			continue
		case msg.typ == wire.ErrorResponse && p.accept(msg):
			if strings.HasPrefix(msg.text(), "FATAL") {
				return p.lastWord()
			}
			return errLost
		}
		kind := "unexpected"
		if (msg.typ == wire.DataRow || msg.typ == wire.CopyData) && !strings.HasPrefix(msg.text(), p.owner+":") {
			kind = "FOREIGN"
		}
		return fmt.Errorf("%s: got %v, want %v; then %v", kind, msg, w, p.wants[1:min(len(p.wants), 6)])
	}
	p.wants = p.wants[:0:0]
	if p.tx == 'I' && !p.skip {
		return p.checkReported()
	}
	return nil
}

// dropCycle forgets what is expected before the next ReadyForQuery.
func (p *player) dropCycle() {
	for len(p.wants) > 0 && p.wants[0].typ != wire.ReadyForQuery {
		p.wants = p.wants[1:]
	}
}

// accept says whether an error tells of a killed server connection.
func (p *player) accept(msg message) bool {
	switch msg.text() {
	case "FATAL 57P01", "FATAL 08006", "FATAL 08007", "08006", "FATAL 57P03", "57P01":
	default:
		return false
	}
	p.stage.lost.Add(1)
	return true
}

// lastWord checks that nothing but another error comes behind a FATAL.
func (p *player) lastWord() error {
	for {
		msg, err := p.in.next(hangTime)
		switch {
		case isTimeout(err):
			return fmt.Errorf("HANG: the connection stays open after FATAL: %w", err)
		case err != nil:
			p.conn.Close()
			return errLost
		case msg.typ != wire.ErrorResponse:
			return fmt.Errorf("after FATAL: %v", msg)
		}
	}
}

// broken tells a hang and the end of a connection apart.
func (p *player) broken(err error) error {
	if isTimeout(err) {
		return fmt.Errorf("HANG: %w; wants %v", err, p.wants[:min(len(p.wants), 6)])
	}
	if p.stage.kills.Load() > 0 {
		p.stage.lost.Add(1)
		return errOver
	}
	return fmt.Errorf("connection ended: %w; wants %v", err, p.wants[:min(len(p.wants), 6)])
}

func isTimeout(err error) bool {
	var ne net.Error
	return errors.As(err, &ne) && ne.Timeout()
}

// survive checks that a session goes on whose server connection was lost
// outside of a transaction. Of its last batch anything may have been done.
func (p *player) survive() error {
	v := p.value()
	probe := qFrame(empty(nil, wire.Sync), "rollback; select '"+v+"'")
	if _, err := p.conn.Write(probe); err != nil {
		return nil // FATAL: accept has seen the end
	}
	for {
		msg, err := p.in.next(hangTime)
		switch {
		case isTimeout(err):
			return fmt.Errorf("HANG after the loss of a server connection: %w", err)
		case err != nil:
			return nil // the next loss
		case msg.typ == wire.DataRow || msg.typ == wire.CopyData || msg.typ == wire.FunctionCallResponse:
			t := msg.text()
			if t == v {
				return nil
			}
			if !strings.HasPrefix(strings.ToLower(t), p.owner+":") && t != "" {
				return fmt.Errorf("FOREIGN after the loss of a server connection: %v", msg)
			}
		case msg.typ == wire.ErrorResponse && strings.Contains(msg.text(), "08P01"):
			return fmt.Errorf("after the loss of a server connection: %v", msg)
		}
	}
}

// requestCancel sends a CancelRequest and waits until it has been dealt with.
func (p *player) requestCancel(ctx context.Context, key []byte) error {
	p.stage.cancels.Add(1)
	conn, err := open(ctx, p.stage.addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.Write(cancelFrame(p.pid, key)); err != nil {
		return err
	}
	_ = conn.SetReadDeadline(time.Now().Add(hangTime))
	if _, err := conn.Read(make([]byte, 1)); isTimeout(err) {
		return fmt.Errorf("HANG: cancel request: %w", err)
	}
	return nil
}

// abort sends the beginning of what is to be sent and vanishes.
func (p *player) abort() error {
	p.stage.aborts.Add(1)
	n := p.rng.IntN(len(p.out) + 1)
	_, _ = p.conn.Write(p.out[:n])
	switch p.rng.IntN(3) {
	case 0:
		time.Sleep(time.Duration(p.rng.IntN(3000)) * time.Microsecond)
	case 1:
		_, _ = p.in.next(time.Duration(1+p.rng.IntN(3)) * time.Millisecond)
	}
	if p.rng.IntN(2) == 0 {
		_ = p.conn.(*net.TCPConn).SetLinger(0)
	}
	p.conn.Close()
	return errOver
}
