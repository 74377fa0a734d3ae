package proxy

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/penstock/penstock/internal/sqlscan"
)

func TestRegistryKeepsEachTextOnce(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	body := []byte("select $1\x00\x00\x01\x00\x00\x00\x17")
	a := r.statement(body)
	if a.name != "PENSTOCK_1" || a.body != string(body) || a.effect != (sqlscan.Effect{}) {
		t.Errorf("got %+v", a)
	}
	body[0] = 'S' // the caller's memory is not the registry's
	if b := r.statement([]byte("select $1\x00\x00\x01\x00\x00\x00\x17")); b != a {
		t.Error("the same text is two statements")
	}
	for name, other := range map[string]string{
		"other types":       "select $1\x00\x00\x01\x00\x00\x00\x14",
		"no types":          "select $1\x00\x00\x00",
		"other case":        "Select $1\x00\x00\x01\x00\x00\x00\x17",
		"malformed is kept": "select $1",
		"nothing":           "",
	} {
		if b := r.statement([]byte(other)); b == a || b.name == a.name {
			t.Errorf("%s: one statement for two texts", name)
		}
	}
	if n := r.len(); n != 6 {
		t.Errorf("%d statements, want 6", n)
	}
	if e := r.statement([]byte("SET x = 1\x00\x00\x00")).effect; e.Kind != sqlscan.Set || e.Name != "x" {
		t.Errorf("the effect is %+v", e)
	}
	runtime.KeepAlive(a)
}

func TestRegistryFindsAStatementWithoutAllocating(t *testing.T) {
	r := newRegistry()
	body := []byte("select 1\x00\x00\x00")
	st := r.statement(body)
	if n := testing.AllocsPerRun(100, func() { r.statement(body) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
	runtime.KeepAlive(st)
}

func TestRegistryForgetsWhatNobodyRemembers(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	kept := r.statement([]byte("kept"))
	for i := range 1000 {
		r.statement(fmt.Appendf(nil, "select %d", i))
	}
	for deadline := time.Now().Add(10 * time.Second); r.len() > 1; time.Sleep(time.Millisecond) {
		runtime.GC()
		if time.Now().After(deadline) {
			t.Fatalf("%d statements are left, want the one that is used", r.len())
		}
	}
	if r.statement([]byte("kept")) != kept {
		t.Error("a statement in use was forgotten")
	}
	if again := r.statement([]byte("select 1")); again.name == kept.name {
		t.Error("a name was given twice")
	}
	runtime.KeepAlive(kept)
}

func TestForgettingAnOldStatementSparesItsSuccessor(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	young := r.statement([]byte("x"))
	for i := range r.shards {
		r.shards[i].forget("x") // the cleanup of an older one, late
	}
	if r.statement([]byte("x")) != young {
		t.Error("the young one was forgotten")
	}
	runtime.KeepAlive(young)
}

func TestRegistryMayBeUsedByManyAtOnce(t *testing.T) {
	t.Parallel()
	r := newRegistry()
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 300 {
				text := fmt.Sprintf("select %d", i%20)
				if st := r.statement([]byte(text)); st.body != text {
					t.Errorf("%q came for %q", st.body, text)
				}
				if i%100 == 0 {
					runtime.GC()
				}
			}
		})
	}
	all.Wait()
}

// order lists what is prepared from the least to the most recently used, and
// checks both directions of the list.
func order(t *testing.T, p *prepared) string {
	t.Helper()
	var up, down []string
	for e := p.oldest; e != nil; e = e.newer {
		up = append(up, e.stmt.name)
	}
	for e := p.newest; e != nil; e = e.older {
		down = append([]string{e.stmt.name}, down...)
	}
	if strings.Join(up, "") != strings.Join(down, "") || len(up) != p.len() {
		t.Fatalf("%v, backwards %v, %d entries", up, down, p.len())
	}
	return strings.Join(up, "")
}

func TestPreparedKeepsTheOrderOfUse(t *testing.T) {
	t.Parallel()
	st := map[byte]*Statement{}
	for _, n := range []byte("abcd") {
		st[n] = &Statement{name: string(n)}
	}
	for script, want := range map[string]string{
		"":               "",
		"+a":             "a",
		"+a+b+c":         "abc",
		"+a+b+c?a":       "bca",
		"+a+b+c?b":       "acb",
		"+a+b+c?c":       "abc",
		"+a+b+c+a":       "bca", // adding again is a use
		"+a+b+c?d":       "abc", // not there: nothing happens
		"+a+b+c-a":       "bc",
		"+a+b+c-b":       "ac",
		"+a+b+c-c":       "ab",
		"+a+b+c-d":       "abc",
		"+a-a":           "",
		"+a-a+a":         "a",
		"+a+b-a-b+c":     "c",
		"+a+b+c!+d":      "d",
		"+a+b?a-b+c?a":   "ca",
		"+a+b+c-b+b?a":   "cba",
		"+a+b+c+d?b-c?a": "dba",
	} {
		p := &prepared{}
		for i := 0; i < len(script); i++ {
			switch script[i] {
			case '+':
				p.add(st[script[i+1]], 1)
			case '-':
				p.remove(st[script[i+1]])
			case '?':
				p.use(st[script[i+1]])
			case '!':
				p.clear()
			}
		}
		if got := order(t, p); got != want {
			t.Errorf("%s: got %s, want %s", script, got, want)
		}
	}
}

func TestUseOfAPreparedStatementAllocatesNothing(t *testing.T) {
	p := &prepared{}
	a, b := &Statement{}, &Statement{}
	p.add(a, 1)
	p.add(b, 1)
	if n := testing.AllocsPerRun(100, func() { p.use(a); p.use(b) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestAStatementIsFreshFromTheSchemaItWasPreparedAtOn(t *testing.T) {
	t.Parallel()
	p, st := &prepared{}, &Statement{}
	if p.fresh(st, 0) {
		t.Error("what is not prepared is fresh")
	}
	p.add(st, 5)
	for schema, want := range map[uint64]bool{0: true, 5: true, 6: false} {
		if p.fresh(st, schema) != want {
			t.Errorf("prepared at 5 and wanted at %d: fresh is %t", schema, !want)
		}
	}
	p.add(st, 6)
	if !p.fresh(st, 6) {
		t.Error("prepared again it is not fresh")
	}
}
