package faults

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/penstock/penstock/internal/pgtest"
)

// noTag stands in a conversation where each run of it puts its own number, so
// that no run can take another's answer for its own.
const noTag = "#tag000000#"

// turn is what a client sends at once, and where the answer to it ends.
type turn struct {
	send   []byte
	readys int  // so many ReadyForQuery, or
	copyIn bool // CopyInResponse
	commit bool
}

// conversation is played turn by turn.
type conversation struct {
	name  string
	turns []turn
	keeps int  // rows in the table kept, all or none
	large bool // a row is larger than a buffer
}

func conversations() []conversation {
	q := func(sql string) turn { return turn{send: encode(&pgproto3.Query{String: sql}), readys: 1} }
	run := func(name, value string) []pgproto3.FrontendMessage {
		return []pgproto3.FrontendMessage{
			&pgproto3.Bind{PreparedStatement: name, Parameters: [][]byte{[]byte(value)}}, &pgproto3.Execute{}, &pgproto3.Sync{},
		}
	}
	parse := &pgproto3.Parse{Name: "s", Query: "SELECT $1::text || ' extended'"}
	prepare := encode(parse, &pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{})
	pipeline := encode(parse)
	for i := range 3 {
		pipeline = append(pipeline, encode(run("s", fmt.Sprintf("%s-%d", noTag, i))...)...)
	}
	line := &pgproto3.CopyData{Data: []byte(noTag + "\n")}
	commit := q("COMMIT")
	commit.commit = true
	return []conversation{
		{name: "simple query", turns: []turn{q("SELECT '" + noTag + "'")}},
		{name: "extended query", turns: []turn{
			{send: prepare, readys: 1}, {send: encode(run("s", noTag+"-1")...), readys: 1}, {send: encode(run("s", noTag+"-2")...), readys: 1},
		}},
		{name: "pipeline", turns: []turn{{send: pipeline, readys: 3}}},
		{name: "copy in", keeps: 3, turns: []turn{
			{send: encode(&pgproto3.Query{String: "COPY kept FROM STDIN"}), copyIn: true},
			{send: encode(line, line, line, &pgproto3.CopyDone{}), readys: 1, commit: true},
		}},
		{name: "copy out", turns: []turn{q("COPY (SELECT '" + noTag + "' || g FROM generate_series(1,4) g) TO STDOUT")}},
		{name: "transaction", keeps: 1, turns: []turn{q("BEGIN"), q("INSERT INTO kept VALUES ('" + noTag + "')"), commit}},
		{name: "large row", large: true, turns: []turn{q("SELECT repeat('" + noTag + "', 10000)")}},
	}
}

// tagged is the conversation of one run.
func (c conversation) tagged(tag string) conversation {
	turns := make([]turn, len(c.turns))
	for i, t := range c.turns {
		t.send = bytes.ReplaceAll(t.send, []byte(noTag), []byte(tag))
		turns[i] = t
	}
	c.turns = turns
	return c
}

// outcome is what a client saw of a conversation: whole messages but for
// ParameterStatus and notices, and how it ended.
type outcome struct {
	got     []string
	sent    int   // turns that the client began
	lost    error // the first ErrorResponse
	fatal   bool
	code    string
	status  byte  // at the ErrorResponse, or the last
	answers int   // messages before the ErrorResponse
	ended   error // of the connection
}

// play plays a conversation until it is over, the turn with an error is over,
// or the connection ends.
func play(client *pgtest.Client, c conversation) outcome {
	o := outcome{status: 'I'}
	for _, t := range c.turns {
		o.sent++
		_ = client.SendRaw(t.send) // the answer tells, also why it could not be sent
		if !o.hear(client, t) || o.lost != nil {
			break
		}
	}
	return o
}

// hear reads one turn's answer and reports whether it came to its end.
func (o *outcome) hear(client *pgtest.Client, t turn) bool {
	for readys := 0; ; {
		msg, err := client.Receive(hangTime)
		if err != nil {
			o.ended = err
			return false
		}
		switch msg := msg.(type) {
		case *pgproto3.ParameterStatus, *pgproto3.NoticeResponse:
			continue
		case *pgproto3.ErrorResponse:
			if o.lost == nil {
				o.code, o.answers = msg.Code, len(o.got)
				o.lost = fmt.Errorf("%s %s: %s", msg.Severity, msg.Code, msg.Message)
			}
			o.fatal = o.fatal || msg.Severity == "FATAL"
		case *pgproto3.ReadyForQuery:
			readys++
			if o.lost == nil {
				o.status = msg.TxStatus
			}
		case *pgproto3.CopyInResponse:
			if t.copyIn {
				o.keep(msg)
				return true
			}
		}
		o.keep(msg)
		if t.readys > 0 && readys == t.readys || t.copyIn && readys > 0 {
			return true
		}
	}
}

func (o *outcome) keep(msg pgproto3.BackendMessage) {
	data, err := msg.(interface {
		Encode([]byte) ([]byte, error)
	}).Encode(nil)
	if err != nil {
		data = []byte(err.Error())
	}
	o.got = append(o.got, string(data))
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}

// recorder forwards connections and keeps what passes through the first.
type recorder struct {
	listener net.Listener
	target   string
	serving  sync.WaitGroup

	// mu guards the fields below.
	mu    sync.Mutex
	bytes [2][]byte // by pgtest.Direction
	conns []net.Conn
}

func record(target string) (*recorder, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	r := &recorder{listener: l, target: target}
	r.serving.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", target)
			if err != nil {
				client.Close()
				continue
			}
			r.mu.Lock()
			first := len(r.conns) == 0
			r.conns = append(r.conns, client, server)
			r.mu.Unlock()
			r.serving.Go(func() { r.pump(pgtest.ToServer, client, server, first) })
			r.serving.Go(func() { r.pump(pgtest.ToClient, server, client, first) })
		}
	})
	return r, nil
}

func (r *recorder) pump(d pgtest.Direction, src, dst net.Conn, keep bool) {
	defer dst.Close()
	buf := make([]byte, 32<<10)
	for {
		n, err := src.Read(buf)
		if keep {
			r.mu.Lock()
			r.bytes[d] = append(r.bytes[d], buf[:n]...)
			r.mu.Unlock()
		}
		if _, werr := dst.Write(buf[:n]); err != nil || werr != nil {
			return
		}
	}
}

func (r *recorder) sizes() [2]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return [2]int{len(r.bytes[0]), len(r.bytes[1])}
}

func (r *recorder) close() [2][]byte {
	r.listener.Close()
	r.mu.Lock()
	for _, c := range r.conns {
		c.Close()
	}
	r.mu.Unlock()
	r.serving.Wait()
	return r.bytes
}

// starts are the places where the frames of a stream begin, and its end.
func starts(stream []byte, d pgtest.Direction) []int {
	list, pos := []int{0}, 0
	for pos+5 <= len(stream) {
		if d == pgtest.ToServer && pos == 0 { // the startup message has no type
			pos = int(binary.BigEndian.Uint32(stream))
		} else {
			pos += 1 + int(binary.BigEndian.Uint32(stream[pos+1:]))
		}
		list = append(list, pos)
	}
	return list
}

// good is what a conversation's answers are without a fault.
func good(ctx context.Context, addr string, c conversation, begun func()) ([]string, error) {
	client, err := dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	begun()
	o := play(client, c)
	if o.lost != nil || o.ended != nil {
		return nil, fmt.Errorf("without a fault: %w", errors.Join(o.lost, o.ended))
	}
	return o.got, nil
}

// retag puts a run's tag into answers.
func retag(list []string, tag string) []string {
	var out []string
	for _, s := range list {
		out = append(out, strings.ReplaceAll(s, noTag, tag))
	}
	return out
}
