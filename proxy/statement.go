package proxy

import (
	"hash/maphash"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/penstock/penstock/internal/sqlscan"
	"github.com/penstock/penstock/internal/wire"
)

// serverPrefix begins the names of prepared statements on servers.
const serverPrefix = "PENSTOCK_"

// Statement is a statement that somebody has prepared: its text and parameter
// types, once in memory however many sessions and server connections use it.
type Statement struct {
	name   string // on servers
	body   string // of a Parse message behind the name: text, NUL, types
	effect sqlscan.Effect
	judged atomic.Pointer[judged] // what a router said of it last
}

// text is that of the statement, without the parameter types behind it.
func (st *Statement) text() string {
	text, _, _ := strings.Cut(st.body, "\x00")
	return text
}

// named is a statement under a client's name, and the version of the schema
// at which the client parsed it.
type named struct {
	*Statement
	schema uint64
}

// registry finds the Statement of a Parse. It holds statements weakly: one
// that no session and no server connection remembers any more is collected.
type registry struct {
	seed   maphash.Seed
	lastID atomic.Uint64
	shards [16]shard
}

type shard struct {
	// mu guards known. It is a leaf.
	mu    sync.Mutex
	known map[string]weak.Pointer[Statement]
}

func newRegistry() *registry {
	r := &registry{seed: maphash.MakeSeed()}
	for i := range r.shards {
		r.shards[i].known = map[string]weak.Pointer[Statement]{}
	}
	return r
}

// statement returns the one Statement with that body of a Parse message. It
// copies body where it is new.
func (r *registry) statement(body []byte) *Statement {
	s := &r.shards[maphash.Bytes(r.seed, body)%uint64(len(r.shards))]
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.known[string(body)]; ok {
		if st := w.Value(); st != nil {
			return st
		}
	}
	text, _, _ := strings.Cut(string(body), "\x00")
	st := &Statement{
		name:   serverPrefix + strconv.FormatUint(r.lastID.Add(1), 10),
		body:   string(body),
		effect: sqlscan.EffectOf(text),
	}
	s.known[st.body] = weak.Make(st)
	runtime.AddCleanup(st, s.forget, st.body)
	return st
}

// forget drops the entry of a collected statement, unless a new one of the
// same text has taken its place.
func (s *shard) forget(body string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w, ok := s.known[body]; ok && w.Value() == nil {
		delete(s.known, body)
	}
}

// len is the number of statements known.
func (r *registry) len() int {
	n := 0
	for i := range r.shards {
		r.shards[i].mu.Lock()
		n += len(r.shards[i].known)
		r.shards[i].mu.Unlock()
	}
	return n
}

// appendParse appends a Parse of the statement under the given name.
func (st *Statement) appendParse(dst []byte, name string) []byte {
	return appendNamed(dst, wire.Parse, name, st.body)
}

// appendNamed appends a frame whose body is a name and what stands behind it.
func appendNamed[T string | []byte](dst []byte, typ byte, name string, rest T) []byte {
	n := 4 + len(name) + 1 + len(rest)
	dst = append(dst, typ, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	dst = append(dst, name...)
	dst = append(dst, 0)
	return append(dst, rest...)
}

// prepared is what is prepared on one server connection, in the order of use.
type prepared struct {
	entries        map[*Statement]*preparedEntry
	newest, oldest *preparedEntry
}

type preparedEntry struct {
	stmt         *Statement
	schema       uint64 // the schema's version when it was prepared
	newer, older *preparedEntry
}

// use reports whether st is prepared here, and notes that it was used now.
func (p *prepared) use(st *Statement) bool {
	e := p.entries[st]
	if e == nil {
		return false
	}
	if e != p.newest {
		p.unlink(e)
		p.front(e)
	}
	return true
}

// fresh reports whether st is prepared here, by that version of the schema or
// a later one.
func (p *prepared) fresh(st *Statement, schema uint64) bool {
	return p.use(st) && p.newest.schema >= schema
}

// add notes that st is prepared here, by that version of the schema.
func (p *prepared) add(st *Statement, schema uint64) {
	if p.use(st) {
		p.newest.schema = schema
		return
	}
	if p.entries == nil {
		p.entries = map[*Statement]*preparedEntry{}
	}
	e := &preparedEntry{stmt: st, schema: schema}
	p.entries[st] = e
	p.front(e)
}

// remove notes that st is not, or no longer, prepared here.
func (p *prepared) remove(st *Statement) {
	if e := p.entries[st]; e != nil {
		p.unlink(e)
		delete(p.entries, st)
	}
}

// clear notes that nothing is prepared here any more.
func (p *prepared) clear() { *p = prepared{} }

// len is the number of statements prepared here.
func (p *prepared) len() int { return len(p.entries) }

func (p *prepared) front(e *preparedEntry) {
	e.older, e.newer = p.newest, nil
	if p.newest != nil {
		p.newest.newer = e
	}
	p.newest = e
	if p.oldest == nil {
		p.oldest = e
	}
}

func (p *prepared) unlink(e *preparedEntry) {
	if e.newer != nil {
		e.newer.older = e.older
	} else {
		p.newest = e.older
	}
	if e.older != nil {
		e.older.newer = e.newer
	} else {
		p.oldest = e.newer
	}
}
